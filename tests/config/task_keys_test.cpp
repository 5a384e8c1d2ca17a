#include "config/task_keys.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "ssa/config/config_check.h"

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("keys of another task are refused with line, key and the tasks that have them",
          "[config]") {
  const std::string message = problem(
      "task: graph_regression\n"
      "data: {path: d, length: 51}\n"
      "model:\n"
      "  dropout: 0.1\n"
      "  embedding:\n"
      "    kind: adaptive\n"
      "    cutoffs: [7]\n"
      "  widht: 4\n"
      "eval: {overlap: 5}\n",
      {"model.softmax_dropout=0.5", "eval.length=9"});
  const std::string only =
      "only for task byte_lm, word_lm or token_lm; this config's task is graph_regression. Remove "
      "the ";
  CHECK(message ==
        "c.yaml:8: model.widht: unknown key; did you mean model.width?\n"
        "c.yaml:5: model.embedding: only for task byte_lm, word_lm, token_lm or image_generation; "
        "this "
        "config's task is graph_regression. Remove the section\n"
        "--set model.softmax_dropout: " +
            only +
            "key\n"
            "c.yaml:2: data.length: " +
            only +
            "key\n"
            "--set eval.length: " +
            only +
            "key\n"
            "c.yaml:9: eval.overlap: " +
            only + "key");
}

TEST_CASE("a key that is given inside another task's section is refused by itself", "[config]") {
  CHECK(problem("task: image_generation\ndata: {path: d}\n", {"model.embedding.factor=2"}) ==
        "--set model.embedding.factor: only for task byte_lm, word_lm or token_lm; this config's "
        "task is "
        "image_generation. Remove the key");
}

TEST_CASE("the task that counts is the one that wins", "[config]") {
  const std::string yaml = "task: image_generation\ndata: {path: d, length: 64}\n";
  CHECK(lines_in(problem(yaml)) == 1);
  CHECK(problem(yaml, {"task=byte_lm"}) == "");
  // Which task is meant is not known: the keys are left alone.
  CHECK_THAT(problem(yaml, {"task=text"}), !Catch::Contains("only for task"));
}

TEST_CASE("a config is dumped with the keys of its task, and reads back", "[config]") {
  Config config;
  config.task = TaskKind::image_classification;
  config.data.path = std::string("d");
  const std::string yaml = dump_config(config);
  for (const char* key : {"embedding", "cutoffs", "softmax_dropout", "vocabulary", "length"}) {
    CAPTURE(key);
    CHECK(yaml.find(key) == std::string::npos);
    CHECK(dump_config(Config{}).find(key) != std::string::npos);
  }
  CHECK(parse_config(yaml, "dump") == config);
  FieldList fields;
  config.fields(fields);
  for (const TaskKind task : {TaskKind::byte_lm, TaskKind::image_classification}) {
    config.task = task;
    const auto keys = std::ranges::count_if(fields.all(), [task](const Field& field) {
      return !field.is_section() && field.rule.tasks.has(task);
    });
    CHECK(std::ssize(flatten_config(config)) == keys);
  }
}

namespace {

/// A schema of its own: one key and one section belong to some tasks only.
struct Inner {
  bool deep = false;
  bool narrow = false;

  template <class V>
  void fields(V& v) {
    v.field("deep", deep, anything(), "");
    v.field("narrow", narrow, anything().only_for({TaskKind::word_lm, TaskKind::graph_regression}),
            "");
  }
};
struct Schema {
  bool common = false;
  bool own = false;
  Inner inner;

  template <class V>
  void fields(V& v) {
    v.field("common", common, anything(), "");
    v.field("own", own, anything().only_for({TaskKind::image_generation}), "");
    v.section("inner", inner, "", {.tasks = kLanguageModels});
    v.field("after", common, anything(), "");
  }
};

}  // namespace

TEST_CASE("a schema says which tasks have a key; a section says it for its members", "[config]") {
  Schema schema;
  FieldList fields;
  schema.fields(fields);
  const auto tasks = [&](const char* key) { return fields.find(key)->rule.tasks; };
  CHECK(tasks("common") == TaskSet::all());
  CHECK(tasks("own") == TaskSet{TaskKind::image_generation});
  CHECK(tasks("inner") == kLanguageModels);
  CHECK(tasks("inner.deep") == kLanguageModels);
  CHECK(tasks("inner.narrow") == TaskSet{TaskKind::word_lm});  // what both have
  CHECK(tasks("after") == TaskSet::all());

  Origins origins;
  for (const Field& field : fields.all()) origins[field.path] = {"s.yaml", 7, 1};
  const auto refused = [&](TaskKind task) {
    Problems problems;
    check_task_keys(fields, task, origins, problems);
    std::string keys;
    for (const Field& field : fields.all())
      keys += problems.has(field.path) ? field.path + " " : "";
    return keys;
  };
  CHECK(refused(TaskKind::word_lm) == "own ");
  CHECK(refused(TaskKind::byte_lm) == "own inner.narrow ");
  CHECK(refused(TaskKind::image_generation) == "inner ");
  CHECK(refused(TaskKind::graph_regression) == "own inner ");
  origins.erase("own");
  CHECK(refused(TaskKind::word_lm) == "");
}

TEST_CASE("sets of tasks are named as one says them", "[config]") {
  CHECK(TaskSet{TaskKind::word_lm}.names() == "word_lm");
  CHECK(kLanguageModels.names("`") == "`byte_lm`, `word_lm` or `token_lm`");
  CHECK(TaskSet{TaskKind::byte_lm, TaskKind::word_lm, TaskKind::image_generation}.names() ==
        "byte_lm, word_lm or image_generation");
}

TEST_CASE("rules from outside see the config and report beside the schema's own", "[config]") {
  const auto rules = [](ConfigCheck& check) {
    CHECK(check.usable({"train.steps"}));
    CHECK_FALSE(check.usable({"train.steps", "model.layers"}));  // has a problem of its own
    CHECK_FALSE(check.usable({"no.key"}));
    CHECK(check.quoted("train.steps") == "train.steps 9");
    check.fail({"train.seed", "train.steps"}, "is odd");
  };
  std::string message;
  try {
    parse_config(kRequired + "model: {layers: 0}\ntrain: {steps: 8}\n", "c.yaml", {"train.steps=9"},
                 rules);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CHECK_THAT(message, Catch::StartsWith("c.yaml:3: model.layers: "));
  CHECK_THAT(message, Catch::EndsWith("\n--set train.steps: is odd"));
  CHECK(lines_in(message) == 2);
}

TEST_CASE("a rule about a key that the task lacks is skipped", "[config]") {
  const std::string yaml = "data: {path: d}\n";
  const auto overlap_usable = [&](const std::string& task) {
    bool usable = false;
    parse_config("task: " + task + "\n" + yaml, "c.yaml", {},
                 [&](ConfigCheck& check) { usable = check.usable({"eval.overlap"}); });
    return usable;
  };
  CHECK(overlap_usable("word_lm"));
  CHECK_FALSE(overlap_usable("graph_regression"));
}
