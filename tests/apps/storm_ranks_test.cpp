// Ranks under mpirun that get signals in quick succession, from any moment of a run on until they
// end: they save together, and a resume ends with the bits of the undisturbed run.

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <thread>

#include "ssa/core/philox.h"

#include "apps/child_process.h"
#include "apps/fault_campaign.h"
#include "support/mpirun.h"

using namespace ssa;
using namespace ssa::testing;
using std::chrono::milliseconds;

namespace {

constexpr int64_t kSteps = 200;

MpiJob train(const AppRun& run, const std::string& name) {
  return testing::mpirun(
      2, "ssa-train",
      run.train_arguments(
          name, {"--quiet", "--resume", "auto", "--set", fmt::format("train.steps={}", kSteps),
                 "train.eval_every=0", "train.checkpoint_every=20"}));
}

/// Whether rank `rank` has come so far that a signal does not simply end it.
bool listens(const std::string& folder, int rank) {
  const pid_t process = process_of_rank(folder, rank);
  return process > 0 && handles_signal(process, SIGTERM) && handles_signal(process, SIGUSR1);
}

/// Whether a process runs, that is, exists and is more than a code that nobody has asked for.
bool runs(pid_t process) {
  std::error_code error;
  return !std::filesystem::read_symlink(fmt::format("/proc/{}/exe", process), error).empty();
}

struct Storm {
  MpiJob job;
  bool launcher_hung = false;  ///< mpirun did not notice that its ranks had ended, and was killed
};

/// Trains in the folder `name` while, from `pause` after both ranks listen on, each of them gets
/// signals until it ends.
Storm train_in_storm(const AppRun& run, const std::string& name, milliseconds pause,
                     uint64_t seed) {
  Storm storm;
  auto job = std::async(std::launch::async, [&] { return train(run, name); });
  const auto ended_within = [&](milliseconds time) {
    return job.wait_for(time) == std::future_status::ready;
  };
  const std::string folder = run.dir / name;
  while (!ended_within(milliseconds(2)) && !(listens(folder, 0) && listens(folder, 1))) {
  }
  std::array ranks = {process_of_rank(folder, 0), process_of_rank(folder, 1)};
  const RngKey key{.seed = seed};
  uint64_t drawn = 0;
  for (milliseconds wait = pause; ranks != std::array{-1, -1} && !ended_within(wait);
       wait = milliseconds(5 + key.word(++drawn) % 16)) {
    constexpr std::array kSignals = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
    for (pid_t& rank : ranks) {
      const int signal = kSignals[key.word(++drawn) % kSignals.size()];
      // One that is gone gets no more: its number may soon be another's.
      if (rank > 0 && (!runs(rank) || ::kill(rank, signal) != 0)) rank = -1;
    }
  }
  if (!ended_within(std::chrono::seconds(30))) {
    kill_launcher(folder);
    storm.launcher_hung = true;
  }
  storm.job = job.get();
  return storm;
}

}  // namespace

TEST_CASE("a storm of signals under mpirun: code 75, and resumed to the same bits",
          "[slow][faults]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(train(run, "whole").code == 0);
  const auto whole = std::chrono::steady_clock::now() - start;
  const std::string expected = run.model_bytes("whole", kSteps);
  const auto try_storm = [&](int64_t percent) -> Damage {
    const std::string name = fmt::format("run-{}", percent);
    const auto pause = std::chrono::duration_cast<milliseconds>(whole * percent / 100);
    const auto [stormy, hung] = train_in_storm(run, name, pause, static_cast<uint64_t>(percent));
    if (!hung && stormy.code != 75 && stormy.code != 0) {
      return fmt::format("ended with {}: {}", stormy.code, stormy.output);
    }
    // Open MPI's mpirun has waited for ever for ranks that ended while it started them.
    if (hung) WARN("mpirun hung after its ranks had ended: " << stormy.output);
    const MpiJob resumed = train(run, name);
    if (resumed.code != 0) return fmt::format("resumed with {}: {}", resumed.code, resumed.output);
    if (stormy.left_behind + resumed.left_behind > 0) return "processes were left behind";
    return run.model_bytes(name, kSteps) == expected ? "" : "other bits";
  };
  attack_at_places("signals to two ranks, from a percentage of the run's time on", 100, 3,
                   try_storm);
}
