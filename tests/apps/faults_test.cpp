// ssa-train as a whole, attacked at any place of a short run: it ends with a code that says what
// happened, or is killed, and a resume ends with the bits of the undisturbed run.

#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "apps/fault_campaign.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

/// Three or four steps, each saved and but the last and the best removed again; two evaluations.
Overrides short_run(int64_t steps) {
  return {"--quiet",
          "--resume",
          "auto",
          "--set",
          fmt::format("train.steps={}", steps),
          "train.eval_every=2",
          "train.checkpoint_every=1",
          "train.keep_checkpoints=1",
          "train.keep_best=true"};
}

/// A run that is attacked again and again, each time from the folder that it began with.
struct AttackedRun : AppRun {
  int64_t steps;
  std::string folder = dir / "run";     ///< where it is attacked
  std::string origin = dir / "origin";  ///< what is there before; missing: nothing is
  std::map<std::string, std::string> expected;

  /// A new run, or one that goes on after two steps.
  explicit AttackedRun(bool resumes) : steps(resumes ? 4 : 3) {
    if (resumes) REQUIRE(train("origin", short_run(2)).code == 0);
    begin();
    REQUIRE(train("run", short_run(steps)).code == 0);
    expected = outcome();
    REQUIRE(expected.size() > 5);
  }

  void begin() const {
    fs::remove_all(folder);
    if (fs::exists(origin)) fs::copy(origin, folder, fs::copy_options::recursive);
  }

  /// Trains with a library preloaded, which the variables tell what to do.
  Finished train_with(const std::string& library, const Overrides& variables) const {
    Overrides arguments = variables;
    arguments.push_back("LD_PRELOAD=" + library);
    arguments.push_back(std::string(SSA_BIN_DIR) + "/ssa-train");
    return run_program("/usr/bin/env", arguments + train_arguments("run", short_run(steps)));
  }

  /// All that the run is to end with, by name: the files of its checkpoints, its metrics without
  /// times, the names of its other files.
  std::map<std::string, std::string> outcome() const {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const std::string path = fs::relative(entry.path(), folder).string();
      if (path.starts_with("events.out.") || path.starts_with("metrics-")) continue;
      const bool same_bits =
          path.ends_with(".safetensors") || path.ends_with("/latest") || path.ends_with("/best");
      found[path] = same_bits ? read_bytes(entry.path().string()) : "";
    }
    found["metrics.jsonl"] = timeless_metrics();
    return found;
  }

  std::string timeless_metrics() const {
    std::istringstream lines(read_bytes(folder + "/metrics.jsonl"));
    std::string result;
    for (std::string line; std::getline(lines, line);) {
      json event = json::parse(line);
      for (const char* key :
           {"tokens_per_second", "elapsed_seconds", "data_wait_seconds", "peak_memory_bytes"}) {
        event.erase(key);
      }
      result += event.dump() + "\n";
    }
    return result;
  }

  /// Resumes without an attack, and says where the run has not ended as the undisturbed one.
  Damage damage_after_resume() const {
    const Finished resumed = train("run", short_run(steps));
    if (resumed.code != 0) return fmt::format("resumed with {}: {}", resumed.code, resumed.err);
    const auto found = outcome();
    for (const auto& [name, content] : expected) {
      if (!found.contains(name)) return name + " is missing";
      if (found.at(name) != content) return name + " has other bits";
    }
    for (const auto& [name, content] : found) {
      if (!expected.contains(name)) return name + " was left behind";
    }
    return "";
  }
};

// ---- file calls ---------------------------------------------------------------------------------

/// How many file calls under the run's folder there are, in the order of the report.
struct FileCalls {
  int64_t all = 0, taking_space = 0, transfers = 0;
};

FileCalls count_file_calls(const AttackedRun& run) {
  const std::string path = run.dir / "calls";
  run.begin();
  REQUIRE(run.train_with(SSA_FAIL_FILE_CALL,
                         {"FILE_CALLS_UNDER=" + run.folder, "FILE_CALLS_FILE=" + path})
              .code == 0);
  FileCalls calls;
  std::istringstream(read_bytes(path)) >> calls.all >> calls.taking_space >> calls.transfers;
  return calls;
}

/// An error is code 4 and one message that names a file of the run, or none where the run does not
/// depend on the file.
Damage damage_of_error(const AttackedRun& run, const Finished& finished) {
  if (finished.code == 0) return "";
  const std::string message = "ssa-train: error: ";
  const size_t at = finished.err.find(message);
  const bool named = at != std::string::npos && contains(finished.err.substr(at), run.folder);
  return finished.code == 4 && named ? "" : fmt::format("code {}: {}", finished.code, finished.err);
}

Damage attack_file_call(const AttackedRun& run, const std::string& how, int64_t n) {
  run.begin();
  const Finished finished = run.train_with(
      SSA_FAIL_FILE_CALL, {"FILE_CALLS_UNDER=" + run.folder, "FAIL_FILE_CALL_HOW=" + how,
                           fmt::format("FAIL_FILE_CALL={}", n)});
  Damage damage;
  if (how == "kill") {
    if (finished.code != 128 + SIGKILL) damage = fmt::format("ended with {}", finished.code);
  } else if (how == "short") {
    if (finished.code != 0) damage = fmt::format("code {}: {}", finished.code, finished.err);
  } else {
    damage = damage_of_error(run, finished);
  }
  return damage.empty() ? run.damage_after_resume() : damage;
}

// ---- allocations --------------------------------------------------------------------------------

/// Memory that runs out is code 2 and says what to lower, unless the system had none for a file:
/// then that file is named. A run may end well where only its report has failed.
Damage damage_of_no_memory(const Finished& finished) {
  if (finished.code == 0) return "";
  const bool for_file = contains(finished.err, "Cannot allocate memory");
  const bool told = for_file ? finished.code == 3 || finished.code == 4
                             : finished.code == 2 && contains(finished.err, "memory") &&
                                   contains(finished.err, "lower train.micro_batch");
  return told ? "" : fmt::format("code {}: {}", finished.code, finished.err);
}

}  // namespace

TEST_CASE("the n-th file call goes wrong: code 0 or 4, and resumed to the same bits",
          "[slow][faults]") {
  for (const bool resumes : {false, true}) {
    const AttackedRun run(resumes);
    const FileCalls calls = count_file_calls(run);
    const std::string where = resumes ? " of a resumed run" : " of a new run";
    const auto attack = [&](const std::string& what, const std::string& how, int64_t places) {
      attack_at_places(what + where, places, 6,
                       [&](int64_t n) { return attack_file_call(run, how, n); });
    };
    attack("I/O error at the n-th file call", "io", calls.all);
    attack("killed at the n-th file call", "kill", calls.all);
    attack("disk full from the n-th call on that takes space", "full", calls.taking_space);
    attack("the n-th read or write moves half of its data", "short", calls.transfers);
  }
}

TEST_CASE("the n-th allocation fails: code 2 and the key to lower, and resumed to the same bits",
          "[slow][faults]") {
  const AttackedRun run(/*resumes=*/false);
  const std::string path = run.dir / "allocations";
  run.begin();
  REQUIRE(run.train_with(SSA_FAIL_ALLOCATION, {"ALLOCATIONS_FILE=" + path}).code == 0);
  int64_t allocations = 0;
  std::istringstream(read_bytes(path)) >> allocations;
  REQUIRE(allocations > 1000);
  int refused = 0;
  const auto try_allocation = [&](int64_t n) {
    run.begin();
    const Finished finished =
        run.train_with(SSA_FAIL_ALLOCATION, {fmt::format("FAIL_ALLOCATION={}", n)});
    if (finished.code != 0) ++refused;
    const Damage damage = damage_of_no_memory(finished);
    return damage.empty() ? run.damage_after_resume() : damage;
  };
  const int64_t tries =
      attack_at_places("the n-th allocation fails", allocations, 30, try_allocation);
  CHECK((refused > 0 || tries == 0));
}
