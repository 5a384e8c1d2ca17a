#include "ssa/config/idle_keys.h"

#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;

namespace {

/// "key: value, because reason" of each idle key of a config with these lines.
std::vector<std::string> idle(const std::string& yaml) {
  std::vector<std::string> texts;
  for (const IdleKey& one : idle_keys(parse_config(yaml + "\ndata: {path: d}\n", "c.yaml"))) {
    texts.push_back(one.key + ": " + one.value + ", because " + one.reason);
  }
  return texts;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("keys that change nothing are found with the reason", "[config]") {
  CHECK(idle("task: byte_lm\nssa: {kind: unbiased, sigma: 0.3, windows: 8}") ==
        Texts{"ssa.windows: 8, because ssa.kind is unbiased",
              "ssa.sigma: 0.3, because ssa.kind is unbiased"});
  CHECK(idle("task: byte_lm\nssa: {sigma: {first: 0.2, last: 0.3}}").size() == 2);
  CHECK(idle("task: byte_lm\nssa: {layers: 2, finetune_fraction: 0.1}") ==
        Texts{"ssa.layers: 2, because ssa.kind is none",
              "ssa.finetune_fraction: 0.1, because ssa.kind is none"});
  CHECK(idle("task: byte_lm\ntrain: {optimizer: {kind: sgd, betas: [0.9, 0.95]}}") ==
        Texts{"train.optimizer.betas: [0.9, 0.95], because train.optimizer.kind is sgd"});
  CHECK(idle("task: byte_lm\ntrain: {epochs: 2, steps: 500}") ==
        Texts{"train.steps: 500, because train.epochs is 2"});
  CHECK(idle("task: byte_lm\nmodel: {embedding: {cutoffs: [100]}}") ==
        Texts{"model.embedding.cutoffs: [100], because model.embedding.kind is plain"});
  CHECK(idle("task: byte_lm\neval: {weights: trained}") ==
        Texts{"eval.weights: trained, because train.ema_decay is 0"});
  CHECK(idle("task: byte_lm\ntrain: {init_skip: ['head.*']}")
            .front()
            .ends_with("train.init_from is not set"));
}

TEST_CASE("keys that change something, and defaults, are not idle", "[config]") {
  CHECK(idle("task: byte_lm").empty());
  CHECK(idle("task: byte_lm\nssa: {kind: local, sigma: 0.3, windows: 8, layers: 1}").empty());
  CHECK(idle("task: byte_lm\ntrain: {epochs: 2, optimizer: {kind: sgd, momentum: 0.5}}").empty());
  CHECK(idle("task: byte_lm\neval: {weights: trained}\ntrain: {ema_decay: 0.999}").empty());
  const Config dense = parse_config("task: byte_lm\ndata: {path: d}\n", "c.yaml");
  CHECK_FALSE(has_effect(dense, "ssa.sigma"));
  CHECK_FALSE(has_effect(dense, "ssa.sigma.first"));
  CHECK(has_effect(dense, "ssa.kind"));
  CHECK(has_effect(dense, "train.steps"));
}
