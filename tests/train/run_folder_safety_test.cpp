// A failed start must not damage the run that is in the folder.

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "ssa/data/token_dataset.h"
#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/captured_log.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A run of four steps, and its files.
struct FourSteps : TinyRun {
  std::string folder = dir / "run";

  explicit FourSteps(const std::vector<std::string>& overrides = {}) {
    spdlog::set_level(spdlog::level::off);
    REQUIRE(train(four(overrides), folder) == TrainOutcome::finished);
  }
  Config four(const std::vector<std::string>& overrides = {}) const {
    return config(Overrides{"train.steps=4", "ssa.finetune_fraction=0"} + overrides);
  }
  Config eight(const std::vector<std::string>& overrides = {}) const {
    return config(Overrides{"ssa.finetune_fraction=0"} + overrides);
  }
  /// All files that a failed start could damage.
  std::string records() const {
    std::string all = read_bytes(folder + "/config.yaml") + read_bytes(folder + "/metrics.jsonl");
    for (const std::string& name : list_directory(folder + "/checkpoints")) all += name + " ";
    return all;
  }
};

int64_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

/// A prepared folder with this text.
std::string prepared(const TempDir& dir, const std::string& name, const std::string& text) {
  const std::string folder = dir / name;
  make_directories(folder);
  write_bytes(folder + "/data.bin", text);
  const TokenDataset plain = TokenDataset::open(folder + "/data.bin");
  DatasetInfo info = plain.info();
  const ByteScan found = scan(plain);
  info.checksum = found.checksum;
  info.distinct_bytes = found.distinct_bytes;
  write_bytes(folder + "/dataset.json", dataset_to_json(info));
  return folder;
}

}  // namespace

TEST_CASE("data too short for a sequence leave no run folder") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const std::string message = message_of<DataError>([&] {
    Trainer trainer(run.config({"data.length=8192"}), {run.dir / "run", "none", Device::cpu});
  });
  CHECK(contains(message, "8192"));
  CHECK_FALSE(path_exists(run.dir / "run"));
}

TEST_CASE("fewer steps than are done are refused, and change nothing") {
  const FourSteps run;
  const std::string before = run.records();
  const Config two = run.config({"train.steps=2"});
  const std::string message = message_of<ConfigError>([&] { train(two, run.folder, "auto"); });
  CHECK(contains(message, "train.steps is 2 but 4 steps are done already"));
  CHECK(run.records() == before);
  CHECK(contains(read_bytes(run.folder + "/log.txt"), " error " + message));
  message_of<ConfigError>(
      [&] { train(two, run.dir / "branch", run.folder + "/checkpoints/step-4"); });
  CHECK_FALSE(path_exists(run.dir / "branch"));
}

TEST_CASE("a checkpoint from elsewhere does not replace the run in a folder") {
  const FourSteps run;
  const std::string other = run.dir / "other";
  REQUIRE(train(run.four(), other) == TrainOutcome::finished);
  const std::string before = run.records();
  const std::string message = message_of<ConfigError>(
      [&] { train(run.eight(), run.folder, other + "/checkpoints/step-2"); });
  CHECK(contains(message, run.folder + " holds a run already"));
  CHECK(contains(message, "--run-dir"));
  CHECK(run.records() == before);
  // A folder without a run takes it, and is resumed from there before anything else is saved.
  const std::string branch = run.dir / "branch";
  { Trainer stopped(run.eight(), {branch, other + "/checkpoints/step-2", Device::cpu}); }
  CHECK(Trainer(run.eight(), {branch, "auto", Device::cpu}).completed_steps() == 2);
}

TEST_CASE("resumed from an older checkpoint of its own, a run goes on from there ever after") {
  const FourSteps run;
  {
    Trainer branch(run.eight(), {run.folder, run.folder + "/checkpoints/step-2/", Device::cpu});
    CHECK(branch.completed_steps() == 2);
  }  // stopped before its first step
  CHECK(path_exists(run.folder + "/checkpoints/step-4"));
  CHECK(read_bytes(run.folder + "/checkpoints/latest").starts_with("step-2"));
  {
    const Trainer next(run.eight(), {run.folder, "auto", Device::cpu});
    CHECK(next.completed_steps() == 2);
  }
  CHECK(train(run.eight(), run.folder, run.folder + "/checkpoints/latest") ==
        TrainOutcome::finished);
}

TEST_CASE("auto is the micro-batch that the run began with; another one is warned of") {
  const FourSteps run;  // micro-batches of 2; this machine has room for 4
  std::string last_log;
  const auto resumed_with = [&](const std::string& micro_batch) {
    const Log log;
    const Trainer trainer(run.eight({"train.micro_batch=" + micro_batch}),
                          {run.folder, "auto", Device::cpu});
    const Config now = load_config(run.folder + "/config.yaml", {});
    last_log = log.text();
    return std::pair(now.train.micro_batch, contains(last_log, "the run had 2"));
  };
  CHECK(resumed_with("auto") == std::pair(int64_t{2}, false));
  CHECK(resumed_with("2") == std::pair(int64_t{2}, false));
  CHECK(resumed_with("4") == std::pair(int64_t{4}, true));
  CHECK(contains(last_log, "train.micro_batch is 4"));
  CHECK(resumed_with("auto") == std::pair(int64_t{2}, false));  // nothing was saved in between
  const auto state =
      nlohmann::json::parse(read_bytes(run.folder + "/checkpoints/step-4/state.json"));
  CHECK(state["micro_batch"] == 2);
}

TEST_CASE("data of the same size but with another checksum are refused") {
  const TempDir data;
  const std::string first = prepared(data, "first", sample_text(6000, 1));
  const std::string second = prepared(data, "second", sample_text(6000, 2));
  const FourSteps run({"data.path=" + first});
  const std::string before = run.records();
  const std::string message = message_of<ConfigError>(
      [&] { train(run.eight({"data.path=" + second}), run.folder, "auto"); });
  CAPTURE(message);
  CHECK(contains(message, second));
  CHECK(contains(message, TokenDataset::open(first).info().checksum));
  CHECK(contains(message, TokenDataset::open(second).info().checksum));
  CHECK(run.records() == before);
  // The bytes themselves state no checksum: the size has to do.
  CHECK(train(run.eight({"data.path=" + first + "/data.bin"}), run.folder, "auto") ==
        TrainOutcome::finished);
}

TEST_CASE("a folder with checkpoints but without metrics holds a run, too") {
  const FourSteps run;
  std::filesystem::remove(run.folder + "/metrics.jsonl");
  const std::string before = run.records();
  for (const std::string& resume : {std::string("none"), run.dir / "copy/checkpoints/step-2"}) {
    if (resume != "none") {
      std::filesystem::copy(run.folder, run.dir / "copy", std::filesystem::copy_options::recursive);
    }
    CHECK(contains(message_of<ConfigError>([&] { train(run.eight(), run.folder, resume); }),
                   run.folder + " holds a run already"));
    CHECK(run.records() == before);
  }
}

TEST_CASE("begun again for want of a checkpoint, a run keeps its old records and says so") {
  const FourSteps run;
  const std::string metrics = read_bytes(run.folder + "/metrics.jsonl");
  for (const int time : {1, 2}) {
    CAPTURE(time);
    std::filesystem::remove_all(run.folder + "/checkpoints");
    const Log log;
    REQUIRE(train(run.four(), run.folder, "auto") == TrainOutcome::finished);
    const std::string kept = fmt::format("{}/metrics-{}.jsonl", run.folder, time);
    CHECK(contains(log.text(), "has no checkpoint: the run begins again"));
    CHECK(contains(log.text(), kept));
    CHECK(lines(read_bytes(kept)) == lines(metrics));
    CHECK(lines(read_bytes(run.folder + "/metrics.jsonl")) == lines(metrics));
  }
  CHECK(read_bytes(run.folder + "/metrics-1.jsonl") == metrics);
}

TEST_CASE("a file system without locks is warned of") {
  const FourSteps run;
  const HookGuard none([](FileOp op, const std::string&) {
    return FileFault{op == FileOp::lock ? ENOLCK : 0, false};
  });
  const Log log;
  REQUIRE(train(run.eight(), run.folder, "auto") == TrainOutcome::finished);
  CHECK(contains(log.text(), run.folder + " is on a file system without locks"));
  CHECK(contains(read_bytes(run.folder + "/log.txt"), "without locks"));
}
