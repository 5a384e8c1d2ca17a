#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("keys that are not given keep their defaults", "[config]") {
  Config expected;
  expected.data.path = std::string("d");
  CHECK(parse_config(kRequired, "c.yaml") == expected);
}

TEST_CASE("every type of value is read", "[config]") {
  const Config config = parse_config(R"(
task: word_lm
model:
  layers: 3
  activation: relu
  embedding: {kind: adaptive, cutoffs: [20000, 60000], factor: 4}
  dropout: .25
  final_norm: False
data:
  path: "a b: \"c\""
  name: 'enwik8'
train: {seed: 18446744073709551615, steps: 1e5, micro_batch: auto, batch_size: +8,
        optimizer: {lr: 1e-3, betas: [0.9, 0.98]}}
)",
                                     "c.yaml");
  CHECK(config.task == TaskKind::word_lm);
  CHECK(config.model.layers == 3);
  CHECK(config.model.activation == ActivationKind::relu);
  CHECK(config.model.embedding.kind == EmbeddingKind::adaptive);
  CHECK(config.model.embedding.cutoffs == std::vector<int64_t>{20000, 60000});
  CHECK(config.model.dropout == 0.25);
  CHECK_FALSE(config.model.final_norm);
  CHECK(config.data.path == "a b: \"c\"");
  CHECK(config.data.name == "enwik8");
  CHECK(config.train.seed == 18446744073709551615u);
  CHECK(config.train.steps == 100000);
  CHECK(config.train.micro_batch == 0);
  CHECK(config.train.batch_size == 8);
  CHECK(config.train.optimizer.lr == 1e-3);
  CHECK(config.train.optimizer.betas == std::vector<double>{0.9, 0.98});
}

TEST_CASE("sigma is a number or a map", "[config]") {
  const Config one = parse_config(kRequired + "ssa: {sigma: 0.25}\n", "c.yaml");
  CHECK(one.ssa.sigma == SigmaConfig{0.25, 0.25});
  const Config two = parse_config(kRequired + "ssa: {sigma: {first: 0.3, last: 0.5}}\n", "c.yaml");
  CHECK(two.ssa.sigma == SigmaConfig{0.3, 0.5});
  const Config half = parse_config(kRequired + "ssa: {sigma: {last: 0.5}}\n", "c.yaml");
  CHECK(half.ssa.sigma == SigmaConfig{0.02, 0.5});
}

TEST_CASE("a section whose keys are all commented out is empty", "[config]") {
  CHECK(problem_after_required("train:\n  # steps: 5\nmodel:\n").empty());
}

TEST_CASE("aliases are read", "[config]") {
  const Config config = parse_config(
      kRequired + "train: {batch_size: &size 8, micro_batch: *size}\neval: {batch_size: *size}\n",
      "c.yaml");
  CHECK(config.train.micro_batch == 8);
  CHECK(config.eval.batch_size == 8);
}

TEST_CASE("tasks that need other models are valid configs", "[config]") {
  for (const std::string task :
       {"byte_lm", "word_lm", "image_generation", "image_classification", "graph_regression"}) {
    CAPTURE(task);
    CHECK(name(parse_config(fmt::format("task: {}\ndata: {{path: d}}\n", task), "c.yaml").task) ==
          task);
  }
}

TEST_CASE("missing required keys are problems", "[config]") {
  CHECK(problem("train: {steps: 5}\n") ==
        "c.yaml: task: required key is missing; give one of byte_lm, word_lm, token_lm, "
        "image_generation, "
        "image_classification, graph_regression\n"
        "c.yaml: data.path: required key is missing; give text");
  CHECK(problem("task: byte_lm\ndata: {path: ''}\n") == "c.yaml:2: data.path: must not be empty");
}

TEST_CASE("all problems come in one message, in file order", "[config]") {
  const std::string text = problem(R"(task: byte_ml
model: {width: wide, heads: 0}
train:
  batch_sise: 4
  optimizer: {betas: [0.9], lr: .nan}
eval: {mode: renrom}
)");
  CHECK(text ==
        "c.yaml:1: task: expected one of byte_lm, word_lm, token_lm, image_generation, "
        "image_classification, graph_regression, got 'byte_ml'\n"
        "c.yaml:2: model.width: expected a whole number, got 'wide'\n"
        "c.yaml:2: model.heads: 0 is out of range; valid: 1 to 65536\n"
        "c.yaml:4: train.batch_sise: unknown key; did you mean train.batch_size?\n"
        "c.yaml:5: train.optimizer.betas: expected a list of 2 numbers, got 1\n"
        "c.yaml:5: train.optimizer.lr: .nan is not a finite number\n"
        "c.yaml:6: eval.mode: expected one of renorm, ensemble, got 'renrom'\n"
        "c.yaml: data.path: required key is missing; give text");
}

TEST_CASE("a file that is not there is a config error", "[config]") {
  try {
    load_config("/nonexistent/x.yaml");
    FAIL("no error");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()) ==
          "/nonexistent/x.yaml: cannot be read: No such file or directory");
    CHECK(error.code() == ExitCode::usage);
  }
  CHECK_THROWS_WITH(load_config("/"), "/: is a folder, not a file");
}
