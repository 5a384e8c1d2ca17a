// scripts/launch_local.sh and scripts/slurm/train.sbatch, with programs that only end, in all the
// ways that the scripts distinguish.

#include <csignal>
#include <filesystem>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "ssa/sweep/child_process.h"

#include "support/skip.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// Line n of plan-R says what rank R does at its n-th start: an exit code, `kill` (dies of
/// SIGKILL), `save` (waits for SIGUSR1, ends with 75), `hang`. The rank writes how it was started
/// to starts-R.
constexpr char kFakeTrain[] = R"(#!/bin/bash
rank=${RANK:-$OMPI_COMM_WORLD_RANK}
echo "$rank/${WORLD_SIZE:-} $LOCAL_RANK/$LOCAL_WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $OMP_NUM_THREADS: $*" \
  >>"$DIR/starts-$rank"
what=$(sed -n "$(wc -l <"$DIR/starts-$rank")p" "$DIR/plan-$rank")
case $what in
  kill) kill -KILL $$ ;;
  save) trap 'exit 75' USR1; touch "$DIR/ready-$rank"; while :; do sleep 0.05; done ;;
  hang) trap '' USR1; while :; do sleep 0.05; done ;;
  *) exit "$what" ;;
esac
)";

struct Scripts {
  TempDir dir;
  std::string log = dir / "log";

  Scripts() { program("ssa-train", kFakeTrain); }
  void program(const std::string& name, const std::string& text) const {
    fs::create_directories(dir / "bin");
    write_bytes(dir / ("bin/" + name), text);
    fs::permissions(dir / ("bin/" + name), fs::perms::owner_all);
  }
  void plan(int rank, const std::string& lines) const {
    write_bytes(dir / fmt::format("plan-{}", rank), lines);
  }
  /// Lines of starts-R.
  std::vector<std::string> starts(int rank) const {
    std::istringstream file(read_bytes(dir / fmt::format("starts-{}", rank)));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  bool is_there(const std::string& name) const { return path_exists(dir / name); }

  /// A script of ours, called in the folder.
  ChildProcess start(const std::string& command, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> environment = {"PATH=" + (dir / "bin") + ":/usr/bin:/bin",
                                            "DIR=" + dir.path()};
    environment.insert(environment.end(), more.begin(), more.end());
    const std::string line =
        "cd '" + dir.path() + "' && exec " SSA_SOURCE_DIR "/scripts/" + command;
    return ChildProcess({"/bin/bash", "-c", line}, log, environment);
  }
  int run(const std::string& command, const std::vector<std::string>& more = {}) const {
    ChildProcess child = start(command, more);
    return code_of(child);
  }
  int code_of(ChildProcess& child) const {
    std::optional<int> code;
    wait_until([&] { return (code = child.poll()).has_value(); });
    return *code;
  }
  void wait_until(const std::function<bool()>& ready) const {
    for (int i = 0; i < 60000 && !ready(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!ready()) FAIL("waited for too long; the log: " << read_bytes(log));
  }
};

const std::string kLocal = "launch_local.sh -n 2 --launcher environment ";

}  // namespace

TEST_CASE("launch_local.sh starts ranks that can find each other", "[slow]") {
  const Scripts scripts;
  for (int rank = 0; rank < 2; ++rank) scripts.plan(rank, "0\n");
  REQUIRE(scripts.run(kLocal + "--threads 3 -- ssa-train --config 'a b.yaml' -n 7") == 0);
  const std::string first = scripts.starts(0).at(0), second = scripts.starts(1).at(0);
  const size_t port = first.find(":") + 1;
  const std::string number = first.substr(port, first.find(' ', port) - port);
  CHECK(std::stoi(number) >= 1024);
  const std::string rest = " 127.0.0.1:" + number + " 3: --config a b.yaml -n 7";
  CHECK(first == "0/2 0/2" + rest);
  CHECK(second == "1/2 1/2" + rest);
}

TEST_CASE("launch_local.sh restarts what died, from its checkpoint, and nothing else", "[slow]") {
  struct Case {
    std::string rank_0, rank_1;
    int code;
    size_t starts;
  };
  const std::vector<Case> cases = {{"0\n", "0\n", 0, 1},
                                   {"2\n", "2\n", 2, 1},
                                   {"3\n", "6\n", 3, 1},
                                   {"6\n", "4\n", 4, 1},
                                   {"5\n", "5\n", 5, 1},
                                   {"75\n", "75\n", 75, 1},
                                   {"1\n", "6\n", 1, 1},
                                   {"6\n0\n", "6\n0\n", 0, 2},
                                   {"6\n6\n0\n", "kill\n6\n0\n", 0, 3},
                                   {"6\n6\n6\n", "kill\nkill\nkill\n", 137, 3}};
  for (const Case& c : cases) {
    CAPTURE(c.rank_0, c.rank_1);
    const Scripts scripts;
    scripts.plan(0, c.rank_0);
    scripts.plan(1, c.rank_1);
    CHECK(scripts.run(kLocal + "--restarts 2 --pause 0 ssa-train --resume old --set a=1 b=2") ==
          c.code);
    CAPTURE(read_bytes(scripts.log));
    const std::vector<std::string> starts = scripts.starts(1);
    REQUIRE(starts.size() == c.starts);
    CHECK(starts[0].ends_with(": --resume old --set a=1 b=2"));
    for (size_t i = 1; i < starts.size(); ++i) {
      CHECK(starts[i].ends_with(": --set a=1 b=2 --resume auto"));
    }
  }
}

TEST_CASE("launch_local.sh passes a stop on, waits for the save, and restarts no more", "[slow]") {
  const int signal = GENERATE(SIGTERM, SIGUSR1, SIGINT);
  const Scripts scripts;
  for (int rank = 0; rank < 2; ++rank) scripts.plan(rank, "save\n0\n");
  ChildProcess child = scripts.start(kLocal + "--restarts 3 ssa-train");
  scripts.wait_until([&] { return scripts.is_there("ready-0") && scripts.is_there("ready-1"); });
  child.send(signal);
  CHECK(scripts.code_of(child) == 75);
  CHECK(scripts.starts(0).size() == 1);
}

TEST_CASE("launch_local.sh ends ranks that hang when another has failed", "[slow]") {
  const Scripts scripts;
  scripts.plan(0, "hang\n0\n");
  scripts.plan(1, "6\n0\n");
  CHECK(scripts.run(kLocal + "--grace 0 --restarts 1 --pause 0 ssa-train") == 0);
  CHECK(contains(read_bytes(scripts.log), "rank 0: killed by SIGKILL"));
  CHECK(scripts.starts(0).size() == 2);
}

TEST_CASE("launch_local.sh with mpirun: a stop reaches the ranks, a failure is restarted",
          "[slow]") {
  if (find_on_path("mpirun").empty()) SSA_SKIP_WITHOUT_TOOL("mpirun");
  const Scripts scripts;
  for (int rank = 0; rank < 2; ++rank) scripts.plan(rank, "6\nsave\n");
  ChildProcess child =
      scripts.start("launch_local.sh -n 2 --launcher mpirun --restarts 2 --pause 0 ssa-train");
  scripts.wait_until([&] { return scripts.is_there("ready-0") && scripts.is_there("ready-1"); });
  child.send(SIGTERM);
  CHECK(scripts.code_of(child) == 75);
  CHECK(scripts.starts(0).size() == 2);
  CHECK(scripts.starts(1).at(1).ends_with(": --resume auto"));
}

TEST_CASE("launch_local.sh says what is wrong with its options", "[slow]") {
  const Scripts scripts;
  for (const char* wrong :
       {"", "-n 2", "-n 0 ssa-train", "-n two ssa-train", "ssa-train", "-n 2 --threads 0 ssa-train",
        "-n 2 --restarts -1 ssa-train", "-n 2 --launcher slurm ssa-train", "-n 2 --what ssa-train",
        "-n 2 no-such-program"}) {
    CAPTURE(wrong);
    CHECK(scripts.run(std::string("launch_local.sh ") + wrong) == 2);
  }
  CHECK(contains(read_bytes(scripts.log), "launch_local: there is no program no-such-program"));
  CHECK(scripts.run("launch_local.sh --help") == 0);
}

TEST_CASE("train.sbatch queues itself again for time and failures, and for nothing else") {
  const Scripts scripts;
  scripts.program("srun", "#!/bin/sh\necho \"$OMP_NUM_THREADS: $*\" >>steps\nexit $CODE\n");
  scripts.program("squeue", "#!/bin/sh\necho ${STATE:-RUNNING}\n");
  scripts.program("scontrol", "#!/bin/sh\necho \"$*\" >>requeued\n");
  const auto job = [&](int code, const std::string& more = "X=") {
    return scripts.run(
        "slurm/train.sbatch --config c.yaml",
        {"SLURM_JOB_ID=42", "SLURM_CPUS_PER_TASK=3", fmt::format("CODE={}", code), more});
  };
  for (const int code : {0, 1, 2, 3, 4, 5}) CHECK(job(code) == code);
  CHECK_FALSE(scripts.is_there("requeued"));
  CHECK(job(75, "STATE=COMPLETING") == 75);  // scancel
  CHECK_FALSE(scripts.is_there("requeued"));
  for (int i = 0; i < 3; ++i) CHECK(job(75) == 75);
  const auto requeued = [&] {
    const std::string lines = read_bytes(scripts.dir / "requeued");
    CHECK(lines.starts_with("requeue 42\n"));
    return std::count(lines.begin(), lines.end(), '\n');
  };
  CHECK(requeued() == 3);
  for (int i = 0; i < 7; ++i) CHECK(job(i % 2 == 0 ? 6 : 137) == (i % 2 == 0 ? 6 : 137));
  CHECK(requeued() == 8);
  CHECK(contains(read_bytes(scripts.log), "giving up after 5 failures"));
  CHECK(job(75) == 75);
  CHECK(requeued() == 9);
  CHECK(contains(read_bytes(scripts.dir / "steps"),
                 "3: --mpi=pmix --wait=120 ssa-train --config c.yaml --resume auto\n"));
}

TEST_CASE("scripts that attack the engine refuse what they cannot do with code 2") {
  const std::vector<std::pair<std::string, std::string>> commands = {
      {"fuzz.sh --seconds", "--seconds takes a number from 1 up, not ''"},
      {"fuzz.sh --runs 1e6", "--runs takes a number from 1 up, not '1e6'"},
      {"fuzz.sh --seconds 0 vocabulary", "not '0'"},
      {"fuzz.sh --all", "unknown option --all"},
      {"fuzz.sh .", "no target '.'; there are: agreement checkpoint "},
      {"fault_campaign.sh --sample", "--sample takes a number from 1 up, not ''"},
      {"fault_campaign.sh --tries all", "--tries takes a number from 1 up, not 'all'"},
      {"fault_campaign.sh --only", "--only takes a text"},
      {"fault_campaign.sh resume", "unknown option resume"}};
  for (const auto& [command, message] : commands) {
    const Scripts scripts;
    CAPTURE(command);
    CHECK(scripts.run(command) == 2);
    CHECK(contains(read_bytes(scripts.log), message));
  }
}
