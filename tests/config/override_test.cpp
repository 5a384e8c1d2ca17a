#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("overrides win over the file, later ones over earlier ones", "[config]") {
  const Config config = parse_config(
      kRequired + "train: {steps: 5}\nssa: {sigma: 0.3}\n", "c.yaml",
      {"train.steps=7", "train.steps = 8", "data.path=some/where", "model.final_norm=false",
       "model.embedding={kind: adaptive, cutoffs: [3]}", "model.embedding.cutoffs=[1,2]",
       "ssa.sigma.last=0.5", "task=word_lm", "data.name=a=b"});
  CHECK(config.train.steps == 8);
  CHECK(config.data.path == "some/where");
  CHECK_FALSE(config.model.final_norm);
  CHECK(config.model.embedding.kind == EmbeddingKind::adaptive);
  CHECK(config.model.embedding.cutoffs == std::vector<int64_t>{1, 2});
  CHECK(config.ssa.sigma == SigmaConfig{0.3, 0.5});
  CHECK(config.task == TaskKind::word_lm);
  CHECK(config.data.name == "a=b");
}

TEST_CASE("sigma is overridden by a number or a map", "[config]") {
  CHECK(parse_config(kRequired, "c.yaml", {"ssa.sigma=0.1"}).ssa.sigma == SigmaConfig{0.1, 0.1});
  CHECK(parse_config(kRequired, "c.yaml", {"ssa.sigma={first: 0.1, last: 0.2}"}).ssa.sigma ==
        SigmaConfig{0.1, 0.2});
}

TEST_CASE("an override may give a required key", "[config]") {
  CHECK(parse_config("task: byte_lm\n", "c.yaml", {"data.path=d"}).data.path == "d");
}

TEST_CASE("a wrong override is refused by its name", "[config]") {
  struct Case {
    std::string override_text;
    std::string message;
  };
  const auto [override_text, message] = GENERATE(values<Case>({
      {"train.batch_sise=4", "--set train.batch_sise: unknown key; did you mean train.batch_size?"},
      {"batch_size=4", "--set batch_size: unknown key; did you mean train.batch_size?"},
      {"train.steps=many", "--set train.steps: expected a whole number, got 'many'"},
      {"train.steps=", "--set train.steps: no value; expected whole number"},
      {"train.steps=[1", "--set train.steps: not valid YAML: end of sequence flow not found"},
      {"train.steps.x=1", "--set train.steps.x: unknown key; did you mean train.steps?"},
      {"train=5", "--set train: expected a map of keys, got '5'"},
      {"train={stepz: 5}", "--set train: train.stepz: unknown key; did you mean train.steps?"},
      {"train={steps: 5, steps: 6}", "--set train: steps: given twice; keep one"},
      {"train.steps", "--set train.steps: expected key=value, as in train.steps=100"},
      {"=5", "--set =5: expected key=value, as in train.steps=100"},
      {"include=x.yaml", "--set include: only a file can include another"},
  }));
  CAPTURE(override_text);
  CHECK(problem(kRequired, {override_text}) == message);
}

TEST_CASE("problems of file and overrides come together", "[config]") {
  CHECK(problem(kRequired + "model: {layers: x}\n", {"train.seed=y", "eval.mode=z"}) ==
        "c.yaml:3: model.layers: expected a whole number, got 'x'\n"
        "--set train.seed: expected a whole number, 0 or more, got 'y'\n"
        "--set eval.mode: expected one of renorm, ensemble, got 'z'");
}
