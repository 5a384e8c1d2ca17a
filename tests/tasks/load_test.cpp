// The rules of a task's config, checked while it is loaded.

#include "ssa/tasks/load.h"

#include <filesystem>

#include "ssa/tasks/language_model.h"

#include "config/config_test_support.h"
#include "support/tensors.h"
#include "tasks/majority_task.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The message that loading with the task's rules ends with; empty if the config is fine.
std::string refusal(const std::string& yaml, const std::vector<std::string>& overrides = {},
                    const TaskFactory& make = make_task) {
  try {
    parse_config(yaml, "c.yaml", overrides, [&](ConfigCheck& check) { check_task(check, make); });
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("a language model's config is refused with valid neighbours", "[tasks]") {
  struct Case {
    std::string yaml;
    std::string message;
  };
  const auto [yaml, message] = GENERATE(values<Case>({
      {"model: {position: relative_2d}",
       "c.yaml:3: model.position: relative_2d is for images; task byte_lm takes alibi or none"},
      {"ssa:\n  kind: local\n  windows: 5",
       "c.yaml:5: ssa.windows: ssa.windows 5 does not fit data.length 1024: 1024 positions cannot "
       "be cut into 5 equal windows; the nearest valid values are 4 or 8 windows, or 1020 or 1025 "
       "positions"},
      {"ssa: {kind: local, windows: 2000}",
       "c.yaml:3: ssa.windows: ssa.windows 2000 does not fit data.length 1024: 1024 positions "
       "cannot be cut into 2000 equal windows; the nearest valid values are 1024 windows, or 2000 "
       "positions"},
      {"ssa: {kind: local}\neval: {length: 510}",
       "c.yaml:4: eval.length: ssa.windows 4 does not fit eval.length 510: 510 positions cannot be "
       "cut into 4 equal windows; the nearest valid values are 3 or 5 windows, or 508 or 512 "
       "positions"},
      {"ssa: {kind: unbiased, drop: 0.9999}",
       "c.yaml:3: ssa.drop: ssa.drop 0.9999 does not fit data.length 1024: drop is 0.9999, which "
       "leaves none of 1024 sources; the largest value that leaves one is 0.999023"},
      {"model: {embedding: {kind: adaptive, cutoffs: [10, 256]}}",
       "c.yaml:3: model.embedding.cutoffs: the last cutoff, 256, must be below the vocabulary's "
       "256 tokens, or the last band is empty"},
  }));
  CAPTURE(yaml);
  CHECK(refusal(kRequired + yaml + "\n") == message);
}

TEST_CASE("limits of a language model's plans are valid", "[tasks]") {
  const std::string yaml =
      GENERATE("ssa: {kind: local, windows: 1024}", "ssa: {kind: none, windows: 5}",
               "ssa: {kind: unbiased, drop: 0.999}", "ssa: {kind: unbiased, windows: 5}",
               "eval: {overlap: 1023}");
  CAPTURE(yaml);
  CHECK(refusal(kRequired + yaml + "\n") == "");
}

TEST_CASE("problems of the schema and of the task come together", "[tasks]") {
  const std::string message =
      refusal(kRequired + "ssa: {kind: local, windows: 5}\ntrain: {stepps: 8}\n");
  CHECK(lines_in(message) == 2);
  CHECK_THAT(message, Catch::StartsWith("c.yaml:4: train.stepps: unknown key"));
  CHECK_THAT(message, Catch::Contains("\nc.yaml:3: ssa.windows: "));
  // A key with a problem of its own is not judged again.
  CHECK(lines_in(refusal(kRequired + "ssa: {kind: local, windows: 0}\n")) == 1);
  CHECK(lines_in(refusal(kRequired + "ssa: {kind: local, layers: 99}\n")) == 1);
}

TEST_CASE("the override that breaks a task's rule is blamed, not the file", "[tasks]") {
  CHECK_THAT(refusal(kRequired + "ssa: {kind: local, windows: 4}\n", {"data.length=6"}),
             Catch::StartsWith("--set data.length: ssa.windows 4 does not fit data.length 6: 6 "
                               "positions cannot be cut into 4 equal windows; the nearest valid "
                               "values are 3 or 6 windows, or 4 or 8 positions"));
}

TEST_CASE("cutoffs are checked against the vocabulary of words", "[tasks]") {
  const std::string model = "model: {embedding: {kind: adaptive, cutoffs: [20000, 60000]}}\n";
  const auto words = [&](const std::string& data) {
    return refusal("task: word_lm\n" + model + "data: {path: d, " + data + "}\n");
  };
  CHECK(words("name: wikitext103") == "");
  CHECK(words("name: own") == "");  // its vocabulary is not known yet
  CHECK(words("name: own, vocabulary: 60001") == "");
  CHECK(words("name: wikitext2") ==
        "c.yaml:2: model.embedding.cutoffs: the last cutoff, 60000, must be below the vocabulary's "
        "33278 tokens, or the last band is empty");
  CHECK_THAT(words("name: wikitext103, vocabulary: 60000"),
             Catch::Contains("below the vocabulary's 60000 tokens"));
}

TEST_CASE("a vocabulary of bytes has 256 tokens", "[tasks]") {
  CHECK(refusal("task: byte_lm\ndata: {path: d, vocabulary: 300}\n") ==
        "c.yaml:2: data.vocabulary: task byte_lm has 256 tokens, not 300; leave data.vocabulary at "
        "0");
  CHECK(refusal("task: byte_lm\ndata: {path: d, vocabulary: 256}\n") == "");
}

TEST_CASE("a task of its own is asked for its own geometry", "[tasks]") {
  const std::string yaml =
      "task: byte_lm\ndata: {path: d, length: 9}\n"
      "ssa: {kind: unbiased, drop: 0.99, windows: 5}\neval: {length: 510}\n";
  CHECK(refusal(yaml, {}, make_majority_task) ==
        "c.yaml:3: ssa.drop: ssa.drop 0.99: drop is 0.99, which leaves none of 9 sources; the "
        "largest value that leaves one is 0.888889");
  CHECK(refusal(yaml, {"ssa.drop=0.8"}, make_majority_task) == "");
  // The example task draws no windows, so that they need not divide anything.
  CHECK(refusal(yaml, {"ssa.kind=local"}, make_majority_task) == "");
  CHECK(refusal(yaml, {"ssa.kind=local"}) != "");
}

TEST_CASE("more sampling layers than layers are one problem, not also one of the windows",
          "[tasks]") {
  CHECK(refusal(kRequired + "ssa: {kind: local, layers: 17, windows: 4}\n") ==
        "c.yaml:3: ssa.layers: ssa.layers 17 is more than model.layers 16; valid: 0 (all) to 16");
}

TEST_CASE("every file in configs/ passes its task's rules", "[tasks]") {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(SSA_SOURCE_DIR) + "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    CAPTURE(entry.path());
    CHECK(load_task_config(entry.path().string()) == load_config(entry.path().string()));
  }
}
