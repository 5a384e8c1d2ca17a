#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "config/config_test_support.h"
#include "config/yaml_reader.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

/// Ten levels that each list the level before ten times: 10^10 values if written out.
std::string alias_bomb() {
  std::string yaml = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level < 10; ++level) {
    yaml +=
        fmt::format("l{0}: &l{0} [{1}]\n", level, repeated(fmt::format("*l{} , ", level - 1), 10));
  }
  return yaml;
}

}  // namespace

TEST_CASE("what is no config is refused with one message", "[config]") {
  CHECK(problem("") ==
        "c.yaml: is empty; a config gives at least task and data.path\n"
        "c.yaml: task: required key is missing; give one of byte_lm, word_lm, token_lm, "
        "image_generation, "
        "image_classification, graph_regression\n"
        "c.yaml: data.path: required key is missing; give text");
  CHECK(problem("# nothing\n", {"task=byte_lm", "data.path=d"}) ==
        "c.yaml: is empty; a config gives at least task and data.path");
  CHECK(problem("\n[task, data]\n") == "c.yaml:2: expected a map of keys, got a list");
  CHECK(problem("hello") == "c.yaml:1: expected a map of keys, got 'hello'");
  CHECK(problem("task: byte_lm\n--- \ndata: {path: d}\n") ==
        "c.yaml: more than one YAML document (---); a config is one");
  CHECK(problem("task: byte_lm\ndata: {path: d\n") ==
        "c.yaml:3: not valid YAML: end of map flow not found");
  CHECK(problem("[a]: 1\n") == "c.yaml:1: a key must be text, not a list");
  CHECK(problem(": 1\n") == "c.yaml:1: a key must be text, not nothing");
}

TEST_CASE("an alias bomb is refused before it is walked", "[config]") {
  CHECK(problem(alias_bomb()) ==
        "c.yaml:5: more than 100000 values once aliases (*) are written out");
}

TEST_CASE("an alias inside its own value is refused", "[config]") {
  CHECK(problem("task: &a [*a]\n") ==
        "c.yaml:1: an alias (*) stands inside the value that it names");
}

TEST_CASE("deep nesting is refused, written out or by aliases", "[config]") {
  CHECK(problem("a: " + repeated("[", 100'000)) == "c.yaml:1: nested more than 32 levels deep");
  CHECK(problem("a:\n" + repeated("- ", 5000) + "x") ==
        "c.yaml:2: nested more than 32 levels deep");
  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i) {
    chain += fmt::format("a{0}: &a{0} [*a{1} ]\n", i, i - 1);
  }
  CHECK(problem(chain) == "c.yaml:31: nested more than 32 levels deep");
}

TEST_CASE("nesting is allowed up to the limit", "[config]") {
  Problems problems;
  const auto nested = [](size_t depth) {  // the innermost list is at this depth
    return repeated("[", depth) + repeated("]", depth);
  };
  CHECK(read_yaml(nested(kMaxYamlDepth), "c.yaml", true, problems)->height == kMaxYamlDepth);
  CHECK(problems.empty());
  CHECK_FALSE(read_yaml(nested(kMaxYamlDepth + 1), "c.yaml", true, problems));
}

TEST_CASE("large files are refused", "[config]") {
  CHECK(problem(std::string(kMaxYamlBytes + 1, '#')) ==
        "c.yaml: larger than 1024 KiB: not a config");
  CHECK(problem("a: [" + repeated("1,", kMaxYamlNodes) + "1]") ==
        "c.yaml:1: more than 100000 values once aliases (*) are written out");
}

TEST_CASE("a repeated key is found among many", "[config]") {
  std::string yaml = kRequired;
  for (int i = 0; i < 20'000; ++i) yaml += fmt::format("k{}: 1\n", i);
  CHECK(problem(yaml + "k7: 1\n").starts_with("c.yaml:20003: k7: given twice, first on line 10"));
}

TEST_CASE("mutilated configs end in a config or a config error", "[config]") {
  const std::string valid =
      "task: byte_lm\n"
      "model: &m {layers: 6, width: 192, embedding: {cutoffs: [1, 2]}}\n"
      "ssa:\n  kind: local\n  sigma: {first: 0.02, last: 0.1}\n"
      "data: {path: \"a\\tb\", name: 'x'}\n"
      "train: {optimizer: {betas: [0.9, 0.99]}}\n";
  const std::string alphabet = "{}[]:,&*!|>'\"%@`#-? \n\t\\0a~<=.\x01\xff\xc3";
  uint64_t state = 1;  // any fixed generator will do
  const auto next = [&](size_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % bound;
  };
  int errors = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string text = valid;
    for (size_t edits = 1 + next(4); edits > 0; --edits) {
      const size_t at = next(text.size());
      switch (next(3)) {
        case 0:
          text[at] = alphabet[next(alphabet.size())];
          break;
        case 1:
          text.insert(at, 1, alphabet[next(alphabet.size())]);
          break;
        default:
          text.erase(at, 1 + next(8));
      }
      if (text.empty()) break;
    }
    CAPTURE(i, text);
    try {
      const Config config = parse_config(text, "c.yaml");
      CHECK(parse_config(dump_config(config), "dump") == config);
    } catch (const ConfigError&) {
      ++errors;
    }
  }
  CHECK(errors > 500);
  CHECK(errors < 2000);
}
