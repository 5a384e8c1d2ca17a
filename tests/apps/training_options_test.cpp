// What a user asks ssa-train for beyond a config of its own: the best checkpoint, the weights of
// another run, an early end, a profile.

#include <filesystem>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

const Overrides kQuick = {"--quiet", "--set", "train.steps=4", "train.eval_every=1",
                          "train.keep_checkpoints=1"};

/// A run whose best score is an early one.
struct OverfitRun : AppRun {
  explicit OverfitRun(const Overrides& more = {}) {
    const Finished finished =
        train("run", Overrides{"--set", "train.eval_every=1", "train.optimizer.lr=2",
                               "train.schedule.decay=constant", "train.schedule.warmup_steps=8",
                               "ssa.finetune_fraction=0", "train.checkpoint_every=0",
                               "train.keep_checkpoints=1"} +
                         more);
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    log = finished.err;
  }
  std::string folder = dir / "run";
  std::string log;
};

bool has_event_file(const std::string& folder) {
  for (const std::string& name : list_directory(folder)) {
    if (name.starts_with("events.out.")) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("the best checkpoint is scored and generates by its name") {
  const OverfitRun run({"train.keep_best=true"});
  const std::string pointer = read_bytes(run.folder + "/checkpoints/best");
  const auto best = std::stoll(pointer.substr(5));
  REQUIRE(best < 8);
  const auto score = [&](const Overrides& more) {
    const Finished finished = run_program(
        "ssa-eval", Overrides{"--run", run.folder, "--split", "valid", "--json", "-"} + more);
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    return json::parse(finished.out);
  };
  const json of_best = score({"--checkpoint", "best"});
  CHECK(of_best["step"] == best);
  CHECK(of_best["differences"] == json::array({fmt::format("step {}, the newest is 8", best)}));
  CHECK_FALSE(path_exists(run.folder + "/scores"));  // this is not the run's own score
  const json of_newest = score({});
  CHECK(of_newest["step"] == 8);
  CHECK(of_newest["loss"].get<double>() > of_best["loss"].get<double>());
  CHECK(has_event_file(run.folder + "/scores"));

  const auto text = [&](const Overrides& more) {
    const Finished finished = run_program(
        "ssa-generate", Overrides{"--run", run.folder, "--length", "8", "--quiet"} + more);
    CHECK(finished.code == 0);
    return finished.out;
  };
  CHECK(text({"--checkpoint", "best"}) == text({"--checkpoint", fmt::format("step-{}", best)}));

  const Finished missing =
      run_program("ssa-eval", {"--run", run.folder, "--checkpoint", "step-99"});
  CHECK(missing.code == 4);
  CHECK(contains(missing.err, "has no checkpoint 'step-99'; there are: best, latest, step-"));
  CHECK(run_program("ssa-eval", {"--run", run.folder, "--config", run.config_path}).code == 2);
}

TEST_CASE("an early end is code 0, and a resume says why there is nothing to do") {
  const OverfitRun run({"train.patience=2"});
  CHECK(contains(run.log, "stopped early"));
  const Finished again =
      run.train("run", {"--resume", "auto", "--set", "train.eval_every=1", "train.optimizer.lr=2",
                        "train.schedule.decay=constant", "train.schedule.warmup_steps=8",
                        "ssa.finetune_fraction=0", "train.checkpoint_every=0",
                        "train.keep_checkpoints=1", "train.patience=2"});
  CHECK(again.code == 0);
  CHECK(contains(again.err, "To go on, resume with a higher train.patience, or 0"));
}

TEST_CASE("a run starts from another by its path; what does not fit is code 2") {
  const AppRun run;
  REQUIRE(run.train("origin", kQuick).code == 0);
  const std::string from = "train.init_from=" + run.dir / "origin";
  const Finished taken = run.train(
      "new", {"--set", "train.steps=1", "train.schedule.warmup_steps=0", from, "train.seed=7"});
  CHECK(taken.code == 0);
  CHECK(contains(taken.err, "tensors of the newest checkpoint of " + run.dir / "origin"));
  CHECK(contains(read_bytes(run.dir / "new/log.txt"), "train.init_from: "));
  const Finished other = run.train("other", {"--set", from, "model.layers=3"});
  CHECK(other.code == 2);
  CHECK(contains(other.err, "blocks.2.attention.query.weight"));
  CHECK(contains(other.err, "train.init_skip"));
  CHECK(run.train("none", {"--set", "train.init_from=" + run.dir / "gone"}).code == 2);
}

TEST_CASE("hours that are over are code 75, and the next start goes on") {
  const AppRun run;
  const Overrides hours = {
      "--resume", "auto", "--set", "train.max_hours=1e-9", "train.steps=2", "train.eval_every=0"};
  const Finished first = run.train("run", hours);
  CHECK(first.code == 75);
  CHECK(contains(first.err, "train.max_hours"));
  int starts = 1;
  while (run.train("run", hours).code == 75 && starts < 9) ++starts;
  CHECK(starts == 2);
  CHECK(path_exists(run.dir / "run/checkpoints/step-2"));
}

TEST_CASE("a profile of the steps that are asked for is a trace of that rank") {
  const AppRun run;
  const Finished bad =
      run.train("run", {"--profile", run.dir / "profile", "--profile-steps", "5-3"});
  CHECK(bad.code == 2);
  CHECK(contains(bad.err, "--profile-steps 5-3"));
  CHECK(run.train("run", {"--profile-steps", "1-2"}).code == 2);  // where to?
  testing::write_bytes(run.dir / "file", "");
  const Finished nowhere = run.train("run", {"--profile", run.dir / "file/profile"});
  CHECK(nowhere.code == 2);
  CHECK(contains(nowhere.err, "--profile " + (run.dir / "file/profile")));
  CHECK_FALSE(path_exists(run.dir / "run"));
  const Finished good = run.train(
      "run", kQuick + Overrides{"--profile", run.dir / "profile", "--profile-steps", "2-3"});
  CHECK(good.code == 0);
  const json trace = json::parse(read_bytes(run.dir / "profile/trace-rank-0.json"));
  CHECK(trace["traceEvents"].size() > 100);
}
