#include "ssa/config/differences.h"

#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("configs differ in the keys whose values do, in their order") {
  Config there, now;
  CHECK(config_differences(there, now).empty());
  now.train.optimizer.lr = 0.5;
  now.model.heads = 4;
  const std::vector<ConfigDifference> expected = {{"model.heads", "8", "4"},
                                                  {"train.optimizer.lr", "0.001", "0.5"}};
  CHECK(config_differences(there, now) == expected);
  CHECK(to_text(expected.front()) == "model.heads: there 8, now 4");
}

TEST_CASE("configs of different tasks differ in keys that both have") {
  Config text, graphs;
  text.task = TaskKind::byte_lm;
  graphs.task = TaskKind::graph_regression;
  text.data.length = 64;
  graphs.train.seed = 2;
  const std::vector<ConfigDifference> there = {{"task", "byte_lm", "graph_regression"},
                                               {"train.seed", "1", "2"}};
  CHECK(config_differences(text, graphs) == there);
  const std::vector<ConfigDifference> back = {{"task", "graph_regression", "byte_lm"},
                                              {"train.seed", "2", "1"}};
  CHECK(config_differences(graphs, text) == back);
}

TEST_CASE("the function of the weights depends on the model, but not on how it is trained") {
  for (const char* key :
       {"task", "model.layers", "model.heads", "model.activation", "model.position",
        "model.final_norm", "model.embedding.kind", "model.embedding.cutoffs", "data.vocabulary"}) {
    CAPTURE(key);
    CHECK(changes_function(key));
  }
  for (const char* key : {"model.attention", "model.dropout", "model.softmax_dropout",
                          "ssa.windows", "data.length", "train.optimizer.kind", "eval.length"}) {
    CAPTURE(key);
    CHECK_FALSE(changes_function(key));
  }
}

TEST_CASE("bookkeeping is what neither the training nor its score depends on") {
  for (const char* key : {"train.keep_best", "train.log_norms", "train.micro_batch", "data.workers",
                          "eval.batch_size", "distributed.overlap"}) {
    CAPTURE(key);
    CHECK(is_bookkeeping(key));
  }
  for (const char* key : {"train.seed", "train.steps", "train.patience", "data.path", "eval.length",
                          "distributed.reduce_precision", "ssa.kind", "model.attention"}) {
    CAPTURE(key);
    CHECK_FALSE(is_bookkeeping(key));
  }
}

TEST_CASE("chosen keys go back to their defaults, of every type, and others stay") {
  Config config;
  config.train.keep_best = true;
  config.train.log_every = 7;
  config.data.name = "mine";
  config.train.precision = Precision::bf16;
  config.train.optimizer.lr = 0.5;
  config.train.optimizer.betas = {0.5, 0.5};
  config.train.init_skip = {"head"};
  config.data.augment = {};
  config.train.seed = 3;
  config.ssa.windows = 8;
  Config expected;
  expected.train.seed = 3;
  expected.ssa.windows = 8;
  CHECK(with_defaults(config, [](std::string_view key) {
          return key != "train.seed" && !key.starts_with("ssa.");
        }) == expected);
  CHECK(with_defaults(config, [](std::string_view) { return false; }) == config);
}
