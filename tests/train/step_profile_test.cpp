// The Chrome trace of a few steps.

#include "ssa/train/step_profile.h"

#include <map>
#include <set>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "train/captured_log.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

TrainOutcome train_profiled(const Config& config, const std::string& folder,
                            const ProfileOptions& profile) {
  const StopSignal stop;
  TrainOptions options{folder, "none", Device::cpu};
  options.profile = profile;
  return Trainer(config, options).train();
}

/// Complete events of a lane, in the order of their beginnings, that neither nest nor follow each
/// other.
size_t overlaps(const json& events) {
  std::map<int, std::vector<std::pair<double, double>>> lanes;
  for (const json& event : events) {
    if (event["ph"] != "X") continue;
    const double begin = event["ts"];
    lanes[event["tid"]].emplace_back(begin, -(begin + event["dur"].get<double>()));
  }
  size_t found = 0;
  for (auto& [lane, spans] : lanes) {
    std::sort(spans.begin(), spans.end());
    std::vector<double> open;  // ends
    for (const auto& [begin, end] : spans) {
      while (!open.empty() && open.back() <= begin + 1e-6) open.pop_back();
      if (!open.empty() && -end > open.back() + 1e-6) ++found;
      open.push_back(-end);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("a few steps are traced by primitive, and no bit of the training changes") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config(), run.dir / "without") == TrainOutcome::finished);
  REQUIRE(train_profiled(run.config(), run.dir / "with", {run.dir / "profile", 3, 4}) ==
          TrainOutcome::finished);
  const auto weights = [&](const std::string& name) {
    return read_bytes(run.dir / name + "/checkpoints/step-8/model.safetensors");
  };
  CHECK((weights("with") == weights("without")));

  const json trace = json::parse(read_bytes(run.dir / "profile/trace-rank-0.json"));
  const json& events = trace["traceEvents"];
  std::multiset<std::string> names;
  for (const json& event : events) {
    const std::string phase = event["ph"];
    CHECK((phase == "X" || phase == "M"));  // one rank sums no gradients with others
    CHECK(event["pid"] == 0);
    CHECK(event.contains("tid"));
    names.insert(event["name"]);
    if (phase != "X") continue;
    CHECK(event["ts"].get<double>() >= 0);
    CHECK(event["dur"].get<double>() >= 0);
  }
  for (const char* name : {"step 2", "step 3", "optimizer", "matmul", "attention", "wait for data",
                           "process_name", "evaluate", "save", "gradient_norm"}) {
    CAPTURE(name);
    CHECK(names.contains(name));
  }
  CHECK_FALSE(names.contains("step 1"));
  CHECK_FALSE(names.contains("step 4"));
  CHECK(names.count("forward 0") == 2);
  CHECK(names.count("backward 1") == 2);
  CHECK(overlaps(events) == 0);
}

TEST_CASE("without steps the third to the fifth are traced; a run that ends before says so") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train_profiled(run.config(), run.dir / "run", {.dir = run.dir / "profile"}) ==
          TrainOutcome::finished);
  CHECK(contains(read_bytes(run.dir / "profile/trace-rank-0.json"), "\"step 2\""));
  const Log log;
  spdlog::set_level(spdlog::level::info);
  train_profiled(run.config({"train.steps=2"}), run.dir / "short", {.dir = run.dir / "none"});
  spdlog::set_level(spdlog::level::off);
  CHECK(contains(log.text(), "without any of the steps 3 to 5"));
  CHECK_FALSE(path_exists(run.dir / "none/trace-rank-0.json"));
}
