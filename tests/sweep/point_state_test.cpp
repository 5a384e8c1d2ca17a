#include "ssa/sweep/point_state.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "ssa/core/error.h"
#include "ssa/storage/run_folder.h"
#include "ssa/sweep/child_process.h"
#include "ssa/sweep/sweep.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A run folder with the files that a test writes into it.
struct Folder {
  TinyRun run;
  Config config = run.config();  // 8 steps
  std::string path = run.dir / "point";
  Folder() { std::filesystem::create_directories(path); }

  void metrics(const std::string& lines) const { write_bytes(path + "/metrics.jsonl", lines); }
  void finish_training() const {
    metrics(
        "{\"step\":8,\"split\":\"train\",\"loss\":2.5}\n"
        "{\"step\":8,\"split\":\"valid\",\"loss\":2.25}\n");
    std::filesystem::create_directories(path + "/checkpoints/step-8");
    write_bytes(path + "/checkpoints/step-8/manifest.json", "{}");
  }
  void result(const std::string& mode, int step, int samples) const {
    write_bytes(path + "/eval-" + mode + "-test.json",
                fmt::format("{{\"mode\":\"{}\",\"split\":\"test\",\"step\":{},\"samples\":{}}}",
                            mode, step, samples));
  }
  PointStatus status(const std::vector<EvalMode>& evaluations = {}) const {
    return read_point_status(path, config, evaluations);
  }
};

int wait_for(ChildProcess& child) {
  for (int i = 0; i < 60000; ++i) {
    if (const auto code = child.poll()) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  FAIL("the program did not end");
  return -1;
}

}  // namespace

TEST_CASE("a point's state is what its folder says", "[sweep]") {
  const Folder folder;
  CHECK(read_point_status(folder.run.dir / "nowhere", folder.config, {}).state ==
        PointState::waiting);
  CHECK(folder.status().state == PointState::waiting);

  folder.metrics("{\"step\":3,\"split\":\"train\",\"loss\":2.75}\n{\"step\":4,\"spl");
  CHECK(folder.status().step == 3);
  CHECK(folder.status().loss == 2.75);
  CHECK(folder.status().state == PointState::waiting);

  folder.finish_training();
  CHECK(folder.status().state == PointState::finished);
  CHECK(folder.status().loss == 2.25);
  const std::vector<EvalMode> both = {EvalMode::renorm, EvalMode::ensemble};
  CHECK(folder.status(both).state == PointState::trained);
  CHECK(folder.status(both).missing == both);
}

TEST_CASE("training without a valid split is finished when the last step is saved", "[sweep]") {
  const Folder folder;
  folder.finish_training();
  folder.metrics("{\"step\":8,\"split\":\"train\",\"loss\":2.5}\n");
  const std::string state = folder.path + "/checkpoints/step-8/state.json";
  write_bytes(state, "{\"evaluation_due\":true}");  // stopped before it
  CHECK(folder.status().state == PointState::waiting);
  write_bytes(state, "{\"evaluation_due\":false}");
  CHECK(folder.status().state == PointState::finished);
  folder.metrics("{\"step\":6,\"split\":\"train\",\"loss\":2.5}\n");
  CHECK(folder.status().state == PointState::waiting);
}

TEST_CASE("training is finished when the last step is validated and saved", "[sweep]") {
  const Folder folder;
  folder.finish_training();
  SECTION("no score") { folder.metrics("{\"step\":8,\"split\":\"train\",\"loss\":2.5}\n"); }
  SECTION("an earlier score") { folder.metrics("{\"step\":6,\"split\":\"valid\",\"loss\":2.5}\n"); }
  SECTION("no checkpoint") { std::filesystem::remove_all(folder.path + "/checkpoints/step-8"); }
  CHECK(folder.status().state == PointState::waiting);
  CHECK_FALSE(folder.status().trained);
}

TEST_CASE("a run that train.patience has ended is trained", "[sweep]") {
  Folder folder;
  folder.finish_training();
  folder.metrics("{\"step\":6,\"split\":\"valid\",\"loss\":2.5}\n");
  const std::string checkpoint = folder.path + "/checkpoints/step-6";
  std::filesystem::create_directories(checkpoint);
  write_bytes(checkpoint + "/manifest.json", "{}");
  write_bytes(checkpoint + "/state.json", "{\"evaluations_since_best\":2}");
  CHECK_FALSE(folder.status().trained);
  folder.config.train.patience = 2;
  CHECK(folder.status().trained);
  folder.result("renorm", 6, 1);
  CHECK(folder.status({EvalMode::renorm}).state == PointState::finished);
  folder.config.train.patience = 3;  // it can go on
  CHECK_FALSE(folder.status().trained);
}

TEST_CASE("an evaluation counts for its weights and number of samples only", "[sweep]") {
  const Folder folder;
  folder.finish_training();
  const auto missing = [&](EvalMode mode) { return !folder.status({mode}).missing.empty(); };
  folder.result("renorm", 6, 1);
  CHECK(missing(EvalMode::renorm));
  folder.result("renorm", 8, 1);
  CHECK_FALSE(missing(EvalMode::renorm));
  folder.result("ensemble", 8, 10);
  CHECK(missing(EvalMode::ensemble));  // the config says 50
  folder.result("ensemble", 8, 50);
  CHECK(folder.status({EvalMode::renorm, EvalMode::ensemble}).state == PointState::finished);
  write_bytes(folder.path + "/eval-renorm-test.json", "{\"step\": 8");
  CHECK(missing(EvalMode::renorm));
  const auto of_valid = [&] {
    return read_point_status(folder.path, folder.config, {EvalMode::renorm}, Split::valid);
  };
  CHECK(of_valid().missing.size() == 1);
  write_bytes(folder.path + "/eval-renorm-valid.json", "{\"step\": 8, \"bits_per_byte\": 1.5}");
  CHECK(of_valid().missing.empty());
  CHECK(score_of(folder.path, TaskKind::byte_lm, EvalMode::renorm, Split::valid) == 1.5);
}

TEST_CASE("a failure is recorded until the point is run again or finished", "[sweep]") {
  const Folder folder;
  record_failure(folder.path, {"ssa-train", 5});
  const PointStatus failed = folder.status();
  CHECK(failed.state == PointState::failed);
  REQUIRE(failed.failure);
  CHECK(failed.failure->program == "ssa-train");
  CHECK(failed.failure->code == 5);
  {
    const RunFolder holder(folder.path);
    CHECK(folder.status().state == PointState::running);
  }
  folder.finish_training();
  CHECK(folder.status().state == PointState::finished);
  CHECK(folder.status({EvalMode::renorm}).state == PointState::failed);
  CHECK(folder.status({EvalMode::renorm}).trained);
  clear_failure(folder.path);
  CHECK(folder.status({EvalMode::renorm}).state == PointState::trained);
}

TEST_CASE("a folder with a run of another config is recognised", "[sweep]") {
  const Folder folder;
  CHECK(config_differences(folder.path, folder.config).empty());
  Config there = folder.config;
  there.train.micro_batch = 4;
  there.train.log_every = 7;
  there.eval.samples = 3;
  write_bytes(folder.path + "/config.yaml", dump_config(there));
  CHECK(config_differences(folder.path, folder.config).empty());
  there.train.steps = 9;
  there.ssa.windows = 2;
  write_bytes(folder.path + "/config.yaml", dump_config(there));
  CHECK(config_differences(folder.path, folder.config) ==
        std::vector<std::string>{"ssa.windows: there 2, now 4", "train.steps: there 9, now 8"});
}

TEST_CASE("the last lines of a file leave out empty ones", "[sweep]") {
  const TempDir dir;
  write_bytes(dir / "log", "one\ntwo\n\n \nthree");
  CHECK(last_lines(dir / "log", 2) == std::vector<std::string>{"two", "three"});
  CHECK(last_lines(dir / "log", 9).size() == 3);
  CHECK(last_lines(dir / "none", 9).empty());
  write_bytes(dir / "long", std::string(100000, 'x') + "\nend\n");
  CHECK(last_lines(dir / "long", 1) == std::vector<std::string>{"end"});
}

TEST_CASE("the next command trains, then scores, then is none", "[sweep]") {
  SweepOptions options;
  options.config = "c.yaml";
  options.run_root = "runs/s";
  options.program_dir = "/bin";
  SweepPoint point;
  point.name = "w2";
  point.overrides = {"train.seed=1", "ssa.windows=2"};
  point.config.eval.samples = 7;
  PointStatus status;
  status.missing = {EvalMode::renorm, EvalMode::ensemble};
  CHECK(shell_line(next_command(options, point, status)) ==
        "/bin/ssa-train --config c.yaml --set train.seed=1 --set ssa.windows=2 --run-dir "
        "runs/s/w2 --resume auto");
  status.trained = true;
  CHECK(shell_line(next_command(options, point, status)) ==
        "/bin/ssa-eval --run runs/s/w2 --mode renorm --split test");
  status.missing = {EvalMode::ensemble};
  options.device = "reference";
  CHECK(shell_line(next_command(options, point, status)) ==
        "/bin/ssa-eval --run runs/s/w2 --mode ensemble --split test --samples 7 --device "
        "reference");
  status.missing.clear();
  CHECK(next_command(options, point, status).empty());
}

TEST_CASE("a child process: output, environment, exit code, signal", "[sweep]") {
  const TempDir dir;
  const std::string log = dir / "log";
  {
    ChildProcess child({"/bin/sh", "-c", "echo $COLOUR $HOME; echo wrong >&2; exit 5"}, log,
                       {"COLOUR=blue", "HOME=there"});
    CHECK(wait_for(child) == 5);
  }
  CHECK(read_bytes(log) == "blue there\nwrong\n");
  ChildProcess killed({"/bin/sh", "-c", "kill -9 $$"}, log, {});
  CHECK(wait_for(killed) == 128 + SIGKILL);
  ChildProcess asked({"/bin/sleep", "60"}, log, {});
  CHECK_FALSE(asked.poll());
  asked.send(SIGTERM);
  CHECK(wait_for(asked) == 128 + SIGTERM);
  CHECK_THROWS_WITH(ChildProcess({dir / "nothing"}, log, {}), Catch::Contains("cannot start"));
  CHECK_THROWS_AS(ChildProcess({"/bin/true"}, dir / "no/folder", {}), CheckpointError);
  CHECK(shell_line({"a", "b c", "it's", "", "{x: 1}"}) == "a 'b c' 'it'\\''s' '' '{x: 1}'");
}
