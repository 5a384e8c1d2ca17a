#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("values that do not fit together are refused with valid neighbours", "[config]") {
  struct Case {
    std::string yaml;
    std::string message;
  };
  const auto [yaml, message] = GENERATE(values<Case>({
      {"model: {width: 100, heads: 8}",
       "c.yaml:3: model.heads: model.heads 8 does not divide model.width 100; nearest valid "
       "heads: 5 or 10; nearest valid widths: 96 or 104"},
      {"model: {width: 4, ffn_width: 8}",  // heads by default: the key that was set is blamed
       "c.yaml:3: model.width: model.heads 8 does not divide model.width 4; nearest valid heads: "
       "4; nearest valid widths: 8"},
      {"ssa: {layers: 17}",
       "c.yaml:3: ssa.layers: ssa.layers 17 is more than model.layers 16; valid: 0 (all) to 16"},
      {"train: {batch_size: 12, micro_batch: 5}",
       "c.yaml:3: train.micro_batch: train.micro_batch 5 does not divide train.batch_size 12; "
       "nearest valid micro_batch: 4 or 6 (or auto); nearest valid batch_size: 10 or 15"},
      {"train: {steps: 10, schedule: {warmup_steps: 11}}",
       "c.yaml:3: train.schedule.warmup_steps: train.schedule.warmup_steps 11 is more than "
       "train.steps 10; valid: 0 to 10"},
      {"train: {schedule: {min_lr: 0.01}}",
       "c.yaml:3: train.schedule.min_lr: train.schedule.min_lr 0.01 is above the peak, "
       "train.optimizer.lr 0.001; valid: 0 to 0.001"},
      {"train: {schedule: {warmup_lr: 0.01}}",
       "c.yaml:3: train.schedule.warmup_lr: train.schedule.warmup_lr 0.01 is above the peak, "
       "train.optimizer.lr 0.001; valid: 0 to 0.001"},
      {"eval: {overlap: 1024}",
       "c.yaml:3: eval.overlap: eval.overlap 1024 must be less than data.length 1024; valid: 0 to "
       "1023"},
      {"eval: {length: 8, overlap: 9}",
       "c.yaml:3: eval.overlap: eval.overlap 9 must be less than eval.length 8; valid: 0 to 7"},
      {"model: {embedding: {kind: adaptive}}",
       "c.yaml:3: model.embedding.kind: an adaptive embedding needs model.embedding.cutoffs, as in "
       "[20000, 60000]"},
      {"model: {embedding: {kind: adaptive, cutoffs: [10, 30, 30]}}",
       "c.yaml:3: model.embedding.cutoffs: must ascend, but 30 is followed by 30"},
      {"model: {width: 8, embedding: {kind: adaptive, cutoffs: [10, 30]}}",
       "c.yaml:3: model.embedding.cutoffs: model.width 8 cannot be divided by factor 4 for each of "
       "the 2 cutoffs: the last band would have width 0; lower model.embedding.factor"},
  }));
  CAPTURE(yaml);
  CHECK(problem_after_required(yaml + "\n") == message);
}

TEST_CASE("limits themselves are valid", "[config]") {
  const std::string yaml = GENERATE(
      "ssa: {layers: 16}", "eval: {overlap: 1023}",
      "train: {steps: 10, schedule: {warmup_steps: 10}}", "train: {schedule: {min_lr: 0.001}}",
      "train: {batch_size: 12, micro_batch: 12}", "ssa: {sigma: 0, finetune_fraction: 1}");
  CAPTURE(yaml);
  CHECK(problem_after_required(yaml + "\n") == "");
}

TEST_CASE("the override that breaks a rule is blamed, not the file", "[config]") {
  CHECK(problem(kRequired + "ssa: {layers: 4}\n", {"model.layers=3"}) ==
        "--set model.layers: ssa.layers 4 is more than model.layers 3; valid: 0 (all) to 3");
}

TEST_CASE("a rule says nothing about keys that are wrong by themselves", "[config]") {
  CHECK(lines_in(problem_after_required("model: {width: 1000000000, heads: 7}\n")) == 1);
}
