#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a wrong value is refused with its line", "[config]") {
  struct Case {
    std::string yaml;
    std::string message;
  };
  const auto [yaml, message] = GENERATE(values<Case>({
      // wrong type
      {"model:\n  layers: six", "c.yaml:4: model.layers: expected a whole number, got 'six'"},
      {"model: {layers: 2.5}", "c.yaml:3: model.layers: expected a whole number, got '2.5'"},
      {"model: {layers: [2]}", "c.yaml:3: model.layers: expected a whole number, got a list"},
      {"model: {layers: {a: 1}}", "c.yaml:3: model.layers: expected a whole number, got a map"},
      {"model: {layers: '2'}",
       "c.yaml:3: model.layers: expected a whole number, got the text \"2\"; remove the quotes"},
      {"model: {layers: }", "c.yaml:3: model.layers: no value; expected whole number"},
      {"model: {layers: 0x10}", "c.yaml:3: model.layers: expected a whole number, got '0x10'"},
      {"model: {final_norm: yes}", "c.yaml:3: model.final_norm: expected true or false, got 'yes'"},
      {"model: {dropout: lots}", "c.yaml:3: model.dropout: expected a number, got 'lots'"},
      {"model: 3", "c.yaml:3: model: expected a map of keys, got '3'"},
      {"train: [1]", "c.yaml:3: train: expected a map of keys, got a list"},
      {"train: {micro_batch: automatic}",
       "c.yaml:3: train.micro_batch: expected a whole number, got 'automatic'"},
      {"train: {optimizer: {betas: 0.9}}",
       "c.yaml:3: train.optimizer.betas: expected a list in brackets, as in [1, 2], got '0.9'"},
      {"train: {optimizer: {betas: [0.9, x]}}",
       "c.yaml:3: train.optimizer.betas: item 2: expected a number, got 'x'"},
      {"train: {seed: -1}", "c.yaml:3: train.seed: expected a whole number, 0 or more, got '-1'"},
      {"ssa: {sigma: wide}",
       "c.yaml:3: ssa.sigma: expected a number, got 'wide'; it may also be a map of keys"},
      // not finite, not representable
      {"model: {dropout: .nan}", "c.yaml:3: model.dropout: .nan is not a finite number"},
      {"model: {dropout: nan}", "c.yaml:3: model.dropout: nan is not a finite number"},
      {"train: {clip_norm: .inf}", "c.yaml:3: train.clip_norm: .inf is not a finite number"},
      {"train: {clip_norm: -inf}", "c.yaml:3: train.clip_norm: -inf is not a finite number"},
      {"train: {clip_norm: 1e999}",
       "c.yaml:3: train.clip_norm: '1e999' is too large or too small for a double"},
      {"train: {seed: 18446744073709551616}",
       "c.yaml:3: train.seed: '18446744073709551616' does not fit a 64-bit integer"},
      {"train: {steps: 1e99}", "c.yaml:3: train.steps: expected a whole number, got '1e99'"},
      // out of range
      {"model: {dropout: 1}",
       "c.yaml:3: model.dropout: 1 is out of range; valid: at least 0, below 1"},
      {"model: {dropout: -0.1}",
       "c.yaml:3: model.dropout: -0.1 is out of range; valid: at least 0, below 1"},
      {"ssa: {drop: 1.0}", "c.yaml:3: ssa.drop: 1.0 is out of range; valid: at least 0, below 1"},
      {"ssa: {finetune_fraction: 1.5}",
       "c.yaml:3: ssa.finetune_fraction: 1.5 is out of range; valid: 0 to 1"},
      {"ssa: {sigma: -1}",
       "c.yaml:3: ssa.sigma: -1 is out of range; valid: at least 0; it may also be a map of keys"},
      {"train: {optimizer: {eps: 0}}",
       "c.yaml:3: train.optimizer.eps: 0 is out of range; valid: above 0"},
      {"train: {optimizer: {betas: [0.9, 1]}}",
       "c.yaml:3: train.optimizer.betas: item 2: 1 is out of range; valid: at least 0, below 1"},
      {"train: {steps: 0}", "c.yaml:3: train.steps: 0 is out of range; valid: 1 to 1000000000000"},
      // bad choice
      {"ssa: {kind: locla}",
       "c.yaml:3: ssa.kind: expected one of none, unbiased, local, got 'locla'"},
      {"ssa: {kind: [local]}",
       "c.yaml:3: ssa.kind: expected one of none, unbiased, local, got a list"},
      // duplicates
      {"train:\n  steps: 5\n  seed: 1\n  steps: 6",
       "c.yaml:6: train.steps: given twice, first on line 4; keep one"},
      {"model: {layers: 2}\ndata: {}", "c.yaml:4: data: given twice, first on line 2; keep one"},
      // unknown keys
      {"train.steps: 5",
       "c.yaml:3: train.steps: dotted keys are for --set; in a file, nest it under its section"},
      {"trian: {steps: 5}", "c.yaml:3: trian: unknown key; did you mean train?"},
      {"inlcude: x.yaml", "c.yaml:3: inlcude: unknown key; did you mean include?"},
  }));
  CAPTURE(yaml);
  CHECK(problem_after_required(yaml + "\n") == message);
}

TEST_CASE("messages stay one printable line each", "[config]") {
  const std::string text = problem_after_required(
      "model: {layers: \"a\\nb\\x1b[31m\", \"\\n\": 1, " + std::string(900, 'k') + ": 1}\n");
  CHECK(lines_in(text) == 3);
  CHECK(text.size() < 2000);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("a flood of problems is cut short", "[config]") {
  std::string yaml;
  for (int i = 0; i < 1000; ++i) yaml += fmt::format("unknown_key_{}: 1\n", i);
  const std::string text = problem_after_required(yaml);
  CHECK(lines_in(text) == 101);
  CHECK(text.ends_with("\nand 900 more"));
}
