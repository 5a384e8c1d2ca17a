#include <cstdlib>
#include <filesystem>
#include <thread>

#include "ssa/core/error.h"
#include "ssa/sweep/child_process.h"
#include "ssa/sweep/sweep.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// A grid of three points, and a folder of the test's own programs that is first on PATH.
struct SlurmSweep : TinyRun {
  std::string config_path = dir / "tiny.yaml";
  std::string bin = dir / "bin";
  std::string old_path = std::getenv("PATH") ? std::getenv("PATH") : "";
  SweepOptions options;
  std::vector<SweepPoint> points;

  SlurmSweep() {
    write_bytes(config_path, tiny_yaml(text_path));
    options.config = config_path;
    options.vary = {"ssa.sigma=0.1,{first: 0.1, last: 0.2},0.3"};
    options.set = {"train.steps=2"};
    options.run_root = dir / "my sweep";
    options.program_dir = SSA_BIN_DIR;
    points = make_grid(config_path, options.set, {parse_variation(options.vary[0])}).points;
    fs::create_directories(options.run_root);
    fs::create_directories(bin);
    ::setenv("PATH", (bin + ":/usr/bin:/bin").c_str(), 1);
  }
  ~SlurmSweep() { ::setenv("PATH", old_path.c_str(), 1); }

  void program(const std::string& name, const std::string& text) const {
    write_bytes(bin + "/" + name, "#!/bin/sh\n" + text);
    fs::permissions(bin + "/" + name, fs::perms::owner_all);
  }
  std::vector<const SweepPoint*> last_two() const { return {&points[1], &points[2]}; }
  std::string file(const std::string& name) const {
    return read_bytes(options.run_root + "/" + name);
  }
  /// Runs a task of the array as Slurm would; `more` is added to its environment.
  int run_task(int task, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> environment = {fmt::format("SLURM_ARRAY_TASK_ID={}", task),
                                            "SLURM_ARRAY_JOB_ID=42", "SLURM_JOB_ID=77",
                                            "OMP_NUM_THREADS=1"};
    environment.insert(environment.end(), more.begin(), more.end());
    ChildProcess child({"/bin/bash", options.run_root + "/sweep-1.sbatch"}, dir / "task.log",
                       environment);
    for (int i = 0; i < 60000; ++i) {
      if (const auto code = child.poll()) return *code;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL("the task did not end");
    return -1;
  }
};

}  // namespace

TEST_CASE("a job array is written and given to sbatch", "[sweep]") {
  SlurmSweep sweep;
  sweep.options.jobs = 5;
  sweep.options.sbatch = {"time=01:00:00", "gres=gpu:1"};
  sweep.program("sbatch", "echo \"$@\" > " + sweep.dir.path() + "/submitted; echo job 42");
  submit_slurm(sweep.options, sweep.last_two());
  CHECK(read_bytes(sweep.dir / "submitted") == sweep.options.run_root + "/sweep-1.sbatch\n");
  CHECK(sweep.file("points-1.txt") == sweep.points[1].name + "\n" + sweep.points[2].name + "\n");
  const std::string script = sweep.file("sweep-1.sbatch");
  for (const char* line : {"#!/bin/bash\n", "#SBATCH --array=1-2%5\n", "#SBATCH --time=01:00:00\n",
                           "#SBATCH --gres=gpu:1\n", "#SBATCH --requeue\n"}) {
    CHECK(contains(script, line));
  }
  // The tasks of an earlier submission may still wait for their files.
  submit_slurm(sweep.options, {&sweep.points[0]});
  CHECK(sweep.file("points-1.txt") == sweep.points[1].name + "\n" + sweep.points[2].name + "\n");
  CHECK(sweep.file("points-2.txt") == sweep.points[0].name + "\n");
  CHECK(contains(sweep.file("sweep-2.sbatch"), "points-2.txt"));
}

TEST_CASE("a task of the array trains and scores its point", "[sweep]") {
  SlurmSweep sweep;
  sweep.program("sbatch", "exit 0");
  sweep.program("srun", "exec \"$@\"");
  submit_slurm(sweep.options, sweep.last_two());
  CHECK(sweep.run_task(2) == 0);
  CAPTURE(read_bytes(sweep.dir / "task.log"));
  const auto state = [&](size_t i) {
    return read_point_status(sweep.options.run_dir(sweep.points[i]), sweep.points[i].config,
                             sweep.options.evaluations)
        .state;
  };
  CHECK(state(2) == PointState::finished);
  CHECK(state(1) == PointState::waiting);
}

TEST_CASE("a task that was stopped asks to be queued again", "[sweep]") {
  SlurmSweep sweep;
  sweep.program("sbatch", "exit 0");
  sweep.program("srun", "exit 75");
  sweep.program("squeue", "echo $STATE");
  sweep.program("scontrol", "echo \"$@\" > " + sweep.dir.path() + "/requeued");
  submit_slurm(sweep.options, sweep.last_two());
  CHECK(sweep.run_task(2, {"STATE=COMPLETING"}) == 75);  // by scancel
  CHECK_FALSE(path_exists(sweep.dir / "requeued"));
  CHECK(sweep.run_task(1, {"STATE=RUNNING"}) == 75);
  CHECK(read_bytes(sweep.dir / "requeued") == "requeue 42_1\n");
}

TEST_CASE("a task whose ranks fail is queued again five times, others are not", "[sweep]") {
  SlurmSweep sweep;
  sweep.program("sbatch", "exit 0");
  sweep.program("srun", "exit $CODE");
  sweep.program("scontrol", "echo \"$@\" >> " + sweep.dir.path() + "/requeued");
  submit_slurm(sweep.options, sweep.last_two());
  for (const int code : {0, 2, 3, 4, 5}) {
    CHECK(sweep.run_task(1, {fmt::format("CODE={}", code)}) == code);
  }
  CHECK_FALSE(path_exists(sweep.dir / "requeued"));
  for (const int code : {6, 137, 6, 6, 143, 6, 6}) {
    CHECK(sweep.run_task(1, {fmt::format("CODE={}", code)}) == code);
  }
  const std::string requeued = read_bytes(sweep.dir / "requeued");
  CHECK(std::count(requeued.begin(), requeued.end(), '\n') == 5);
  CHECK(contains(read_bytes(sweep.dir / "task.log"), "giving up after 5 failures"));
}

TEST_CASE("a template of the user's is filled in, and several ranks work on a point", "[sweep]") {
  SlurmSweep sweep;
  sweep.program("sbatch", "exit 0");
  sweep.program("srun", "exit 9");  // ssa-sweep itself runs without
  const std::string launcher = sweep.bin + "/two_ranks", words = sweep.dir / "words";
  sweep.program("two_ranks", "echo \"$@\" > '" + words + "'; shift; exec \"$@\"");
  sweep.options.run_under = {launcher, "--mpi=pmix"};
  sweep.options.script = sweep.dir / "mine.sbatch";
  write_bytes(sweep.options.script,
              "#!/bin/bash\n#SBATCH --partition=big\n#@ssa-sweep\nOMP_NUM_THREADS=1\n"
              "\"${sweep[@]}\" --only \"$(sed -n ${SLURM_ARRAY_TASK_ID}p \"$points\")\"\n");
  submit_slurm(sweep.options, sweep.last_two());
  const std::string script = sweep.file("sweep-1.sbatch");
  CHECK(script.starts_with("#!/bin/bash\n#SBATCH --partition=big\n#SBATCH --job-name=my sweep\n"));
  CHECK(sweep.run_task(1) == 0);
  CAPTURE(read_bytes(sweep.dir / "task.log"));
  CHECK(contains(read_bytes(words), "--mpi=pmix " + sweep.options.program_dir + "/ssa-eval --run"));

  write_bytes(sweep.options.script, "#!/bin/bash\nsrun ssa-train\n");
  CHECK_THROWS_WITH(submit_slurm(sweep.options, sweep.last_two()), Catch::Contains("#@ssa-sweep"));
}

TEST_CASE("a job array can be prepared without being submitted", "[sweep]") {
  SlurmSweep sweep;
  sweep.program("sbatch", "echo \"$@\" > " + sweep.dir.path() + "/submitted");
  sweep.options.submit = false;
  sweep.options.split = Split::valid;
  submit_slurm(sweep.options, sweep.last_two());
  CHECK_FALSE(path_exists(sweep.dir / "submitted"));
  CHECK(contains(sweep.file("sweep-1.sbatch"), "--eval renorm --eval-split valid"));
  CHECK(contains(sweep.file("points-1.txt"), sweep.points[2].name));
}

TEST_CASE("without sbatch the files are there; a refusal is an error", "[sweep]") {
  SlurmSweep sweep;
  ::setenv("PATH", sweep.bin.c_str(), 1);
  submit_slurm(sweep.options, sweep.last_two());
  CHECK(contains(sweep.file("sweep-1.sbatch"), "--array=1-2\n"));
  sweep.program("sbatch", "echo no such partition >&2; exit 1");
  CHECK_THROWS_WITH(submit_slurm(sweep.options, sweep.last_two()),
                    Catch::Contains("no such partition"));
}
