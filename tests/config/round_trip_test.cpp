#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a dumped config reads back exactly", "[config]") {
  Config config;
  config.task = TaskKind::word_lm;
  config.data.path = std::string("a \"b\" \\ \t: # π\x7f\x01\n");
  config.data.name = GENERATE("", "null", "~", "12", "true", "No", "- x", "plain", "/abs/path-1.x",
                              "1e-3", " lead", "&a", "x: y", "include");
  config.model.layers = 3;
  config.model.final_norm = false;
  config.model.embedding = {EmbeddingKind::adaptive, {20, 60}, 2, false, false};
  config.model.dropout = 0.1;
  config.ssa.sigma = {1.0 / 3.0, 1e-17};
  config.train.seed = 18446744073709551615u;
  config.train.optimizer.lr = 5e-324;  // the smallest double
  config.train.optimizer.eps = 1.7976931348623157e308;
  config.train.optimizer.betas = {0.1 + 0.2, 0.0};
  config.train.schedule.decay = DecayKind::inverse_sqrt;
  config.eval.mode = EvalMode::ensemble;
  const std::string yaml = dump_config(config);
  CAPTURE(yaml);
  CHECK(parse_config(yaml, "dump") == config);
}

TEST_CASE("a dump is complete, nested and says auto", "[config]") {
  Config config;
  config.data.path = std::string("d");
  const std::string yaml = dump_config(config);
  CHECK(yaml.starts_with("task: byte_lm\nmodel:\n  layers: 16\n"));
  CHECK(yaml.find("\n  sigma:\n    first: 0.02\n    last: 0.1\n") != std::string::npos);
  CHECK(yaml.find("\n  micro_batch: auto\n") != std::string::npos);
  CHECK(yaml.find("\n    betas: [0.9, 0.999]\n") != std::string::npos);
  CHECK(yaml.find("\n    eps: 1.0e-08\n") != std::string::npos);  // PyYAML takes 1e-08 for text
  CHECK(yaml.find("\n  name: \"\"\n") != std::string::npos);
}

TEST_CASE("flattened configs show what differs", "[config]") {
  Config a;
  Config b;
  b.train.optimizer.lr = 0.25;
  b.ssa.kind = SsaKind::local;
  const auto left = flatten_config(a);
  const auto right = flatten_config(b);
  REQUIRE(left.size() == right.size());
  CHECK(left.front() == std::pair<std::string, std::string>{"task", "byte_lm"});
  std::vector<std::string> different;
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i] != right[i]) different.push_back(right[i].first + "=" + right[i].second);
  }
  CHECK(different == std::vector<std::string>{"ssa.kind=local", "train.optimizer.lr=0.25"});
}
