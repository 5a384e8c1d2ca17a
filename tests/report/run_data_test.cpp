#include "ssa/report/run_data.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/report/report.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::report;
using namespace ssa::testing;

namespace {

std::string scheme(const std::string& ssa) {
  return scheme_name(parse_config(tiny_config(ssa), "c.yaml"));
}

Run only(const std::string& dir) { return load_runs({dir}).front(); }

std::string refusal(const std::vector<std::string>& dirs) {
  try {
    load_runs(dirs);
  } catch (const ConfigError& error) {
    return error.code() == ExitCode::usage ? error.what() : "wrong code";
  }
  return {};
}

}  // namespace

TEST_CASE("the paper's names") {
  CHECK(scheme("kind: none") == "S0");
  CHECK(scheme("kind: none, finetune_fraction: 0.1") == "S0");
  CHECK(scheme("kind: local, windows: 4") == "S2-L4");
  CHECK(scheme("kind: local, layers: 1, windows: 4, finetune_fraction: 0.1") == "S1-L4+FT");
  CHECK(scheme("kind: unbiased, drop: 0.2") == "S2-U20");
  CHECK(scheme("kind: unbiased, drop: 0.125") == "S2-U12.5");
}

TEST_CASE("a run folder is read with what it has") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal + ", finetune_fraction: 0.2"));
  add_evaluations(dir);
  write_bytes(dir + "/sample.txt", "some text");
  const Run run = only(dir);
  CHECK(run.name == "a");
  CHECK(run.scheme == "S1-L4+FT");
  CHECK(run.losses_of("train").size() == 100);
  CHECK(run.losses_of("valid").size() == 2);
  CHECK(run.last_step() == 100);
  CHECK(run.sample == "some text");
  CHECK(run.missing.empty());
  REQUIRE(run.parameters);
  CHECK(*run.parameters > 256 * 8);
  REQUIRE(run.evaluation("ensemble", "valid"));
  CHECK(run.evaluation("ensemble", "valid")->curve.size() == 3);
  CHECK(run.evaluation("ensemble", "valid")->curve[1].error == 0.01);
  CHECK_FALSE(run.evaluation("ensemble", "test"));
}

TEST_CASE("compute until a step counts dense fine-tuning") {
  const TempDir folder;
  const Run run = only(make_run(folder, "a", tiny_config(kLocal + ", finetune_fraction: 0.2")));
  REQUIRE(run.cost);
  CHECK(run.finetune_start == 80);
  const double sampled = 64 * run.cost->forward_flop_per_token;
  const double dense = 64 * run.cost->dense_forward_flop_per_token;
  CHECK(sampled < dense);
  CHECK(*run.flop_until(50) == Approx(50 * sampled));
  CHECK(*run.flop_until(100) == Approx(80 * sampled + 20 * dense));
  CHECK(*run.flop_until(100) == Approx(run.cost->train_exaflop * 1e18));
}

TEST_CASE("the newest evaluation counts, then the one with most samples") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  const auto add = [&](const std::string& file, int step, int samples) {
    write_bytes(
        dir + "/eval-" + file + ".json",
        fmt::format(R"({{"mode":"ensemble","split":"test","step":{},"samples":{},"loss":2}})", step,
                    samples));
  };
  add("1", 50, 50);
  add("2", 100, 30);
  add("3", 100, 10);
  const Run run = only(dir);
  CHECK(run.evaluations.size() == 3);
  CHECK(run.evaluation("ensemble", "test")->file == "eval-2.json");
}

TEST_CASE("missing or damaged files become remarks, not errors") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/metrics.jsonl", metrics_line(1, "train", 3) + "{\"step\": 2, \"spl");
  write_bytes(dir + "/eval-torn.json", "{\"mode\": \"ren");
  write_bytes(dir + "/eval-odd.json",
              R"({"mode":"ensemble","split":"valid","loss":"x","samples":1e300,"curve":[1,{},)"
              R"({"samples":-1,"value":1},{"samples":2,"value":null},{"samples":3,"value":1.5}]})");
  const Run run = only(dir);
  CHECK(run.events.size() == 1);
  REQUIRE(run.missing.size() == 1);
  CHECK(contains(run.missing.front(), "eval-torn.json"));
  const Evaluation* odd = run.evaluation("ensemble", "valid");
  REQUIRE(odd);
  CHECK_FALSE(odd->loss);
  CHECK_FALSE(odd->samples);
  REQUIRE(odd->curve.size() == 1);
  CHECK(odd->curve.front().samples == 3);

  std::filesystem::remove(dir + "/metrics.jsonl");
  CHECK(contains(only(dir).missing.front(), "no metrics.jsonl"));
}

TEST_CASE("a task that cannot be built without its data has no costs, but a page") {
  const TempDir folder;
  std::string config = tiny_config(kLocal);
  config.replace(config.find("byte_lm"), 7, "word_lm");
  const Run run = only(make_run(folder, "a", config));
  CHECK_FALSE(run.parameters);
  CHECK(render_report({run.dir}).size() > 1000);
}

TEST_CASE("folders that are not runs and broken configs are refused by name") {
  const TempDir folder;
  CHECK(contains(refusal({}), "no run folder"));
  CHECK(contains(refusal({folder.path() + "/nowhere"}), folder.path() + "/nowhere"));
  CHECK(contains(refusal({folder.path()}), "no config.yaml in it nor in a folder in it"));
  const std::string dir = make_run(folder, "a", "task: [unclosed");
  CHECK(contains(refusal({dir}), dir + "/config.yaml"));
}

TEST_CASE("runs are named by what tells them apart, and read once") {
  const TempDir folder;
  const std::string a = make_run(folder, "x/run", tiny_config(kLocal));
  const std::string b = make_run(folder, "y/run", tiny_config("kind: none"));
  const std::string c = make_run(folder, "other", tiny_config("kind: none"));
  const std::vector<Run> runs = load_runs({a, b, c + "/", a});
  REQUIRE(runs.size() == 3);
  CHECK(runs[0].name == a);
  CHECK(runs[1].name == b);
  CHECK(runs[2].name == "other");
}

TEST_CASE("evaluations without a time get that of the step before") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/metrics.jsonl",
              metrics_line(7, "train", 3) + R"({"step":7,"split":"valid","loss":2})" + "\n");
  CHECK(*only(dir).losses_of("valid").front()->elapsed_seconds == Approx(0.7));
}

TEST_CASE("metrics are read as the run wrote them down, and derived where it did not") {
  const Metric& bits = traits_of(TaskKind::byte_lm).metric();
  MetricsEvent event;
  CHECK_FALSE(value_of(bits, event));
  event.loss = std::log(2.0);
  CHECK(value_of(bits, event) == Approx(1));
  event.metrics = {{"bits_per_byte", 7.0}};
  CHECK(value_of(bits, event) == 7.0);
  CHECK_FALSE(value_of(traits_of(TaskKind::image_classification).metric(), event));
}

TEST_CASE("a sweep folder stands for its runs, in the sweep's order, then by name") {
  const TempDir folder;
  for (const char* name : {"sweep/b", "sweep/a", "sweep/d", "sweep/c", "alone"}) {
    make_run(folder, name, tiny_config(kLocal));
  }
  std::filesystem::create_directories(folder.path() + "/sweep/waiting");
  write_bytes(folder.path() + "/sweep/sweep.json", R"({"points":["d","waiting","a",7]})");
  std::vector<std::string> names;
  for (const Run& run : load_runs({folder.path() + "/alone", folder.path() + "/sweep/"})) {
    names.push_back(run.name);
  }
  CHECK(names == std::vector<std::string>{"alone", "d", "a", "b", "c"});
  for (const char* damaged : {"", "{", "[1]", R"({"points":3})", R"({"points":{"x":"d"}})"}) {
    write_bytes(folder.path() + "/sweep/sweep.json", damaged);
    CHECK(load_runs({folder.path() + "/sweep"}).size() == 4);
  }
  write_bytes(folder.path() + "/config.yaml", tiny_config(kLocal));  // a run folder stays one
  CHECK(load_runs({folder.path()}).size() == 1);
}

TEST_CASE("the dense partner differs as little as possible") {
  const auto config = [](const std::string& ssa, uint64_t seed, int64_t micro_batch) {
    Config made = parse_config(tiny_config(ssa), "c.yaml");
    made.train.seed = seed;
    made.train.micro_batch = micro_batch;
    return made;
  };
  const Config local = config(kLocal, 1, 1);
  std::vector<Config> configs = {local, config("kind: none", 1, 2), config("kind: none", 2, 1)};
  CHECK(dense_partner(configs, local) == 2u);
  configs.push_back(config("kind: none", 1, 1));
  CHECK(dense_partner(configs, local) == 3u);
  configs.resize(2);
  CHECK(dense_partner(configs, local) == 1u);
  configs[1].model.width = 16;
  CHECK_FALSE(dense_partner(configs, local));
}

TEST_CASE("rate over all steps and peak memory come from the training's events") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/metrics.jsonl",
              R"({"step":1,"split":"train","tokens":64,"elapsed_seconds":1,"peak_memory_bytes":9})"
              "\n"
              R"({"step":2,"split":"train","tokens":128,"elapsed_seconds":4,"peak_memory_bytes":7})"
              "\n"
              R"({"step":2,"split":"valid","loss":1,"tokens":128,"elapsed_seconds":9})"
              "\n");
  const Run run = only(dir);
  CHECK(*run.overall_terms_per_second() == Approx(32));
  CHECK(*run.peak_memory_bytes() == 9);
  std::filesystem::remove(dir + "/metrics.jsonl");
  CHECK_FALSE(only(dir).overall_terms_per_second());
  CHECK_FALSE(only(dir).peak_memory_bytes());
}
