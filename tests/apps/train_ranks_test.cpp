// ssa-train on several processes: the same result as on one process, also after failures.

#include <chrono>
#include <csignal>
#include <thread>

#include "ssa/storage/checkpoint.h"
#include "ssa/storage/metrics.h"
#include "ssa/train/memory_plan.h"

#include "apps/picture_files.h"
#include "support/mpirun.h"
#include "tasks/labeled_tree.h"

using namespace ssa;
using namespace ssa::testing;
using Catch::Contains;

namespace {

/// A run long enough for a failure during it.
const Overrides kLong = {"--set", "train.steps=300", "train.checkpoint_every=20",
                         "train.eval_every=0", "distributed.timeout_seconds=3"};

testing::MpiJob train(const AppRun& run, int ranks, const std::string& name, const Overrides& more,
                      bool survive = false) {
  testing::MpiJob job =
      testing::mpirun(ranks, "ssa-train", run.train_arguments(name, more), survive);
  UNSCOPED_INFO("mpirun returned " << job.code << " and wrote:\n" << job.output);
  CHECK(job.left_behind == 0);
  return job;
}

/// While one exists: sends a rank a signal when the run has its checkpoint of step 40.
class Accident {
 public:
  Accident(std::string folder, int rank, int signal)
      : thread_([=] {
          const std::string checkpoint = folder + "/checkpoints/step-40";
          for (int i = 0; i < 6000 && !path_exists(checkpoint); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
          if (const pid_t process = process_of_rank(folder, rank); process > 0) {
            ::kill(process, signal);
          }
        }) {}
  ~Accident() { thread_.join(); }
  Accident(const Accident&) = delete;
  Accident& operator=(const Accident&) = delete;

 private:
  std::thread thread_;
};

std::string weights(const std::string& folder, int64_t step = 300) {
  return read_bytes(fmt::format("{}/checkpoints/step-{}/model.safetensors", folder, step));
}

size_t times(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace

TEST_CASE("a dense run gives the same losses on 1, 2 and 4 processes", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  const Overrides dense = {"--set", "ssa.kind=none", "train.micro_batch=1"};
  REQUIRE(run.train("on-1", dense).code == 0);
  const auto expected = read_metrics(run.dir / "on-1/metrics.jsonl");
  for (const int ranks : {2, 4}) {
    const std::string name = "on-" + std::to_string(ranks);
    REQUIRE(train(run, ranks, name, dense).code == 0);
    const auto got = read_metrics(run.dir / (name + "/metrics.jsonl"));
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].loss.value() == Approx(expected[i].loss.value()).epsilon(1e-5));
    }
  }
}

TEST_CASE("pictures resumed in the midst of an epoch on other ranks come in the same order",
          "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const PictureFiles files;
  // 6 of 12 pictures a step: step 3 ends in the midst of the second epoch. Dense, because each rank
  // draws sources of its own.
  const Overrides settings = {"--set", "ssa.kind=none", "train.batch_size=6",
                              "train.checkpoint_every=3", "train.keep_checkpoints=9"};
  REQUIRE(files.train("whole", settings).code == 0);
  REQUIRE(testing::mpirun(3, "ssa-train", files.train_arguments("run", settings)).code == 0);
  for (const char* later : {"step-6", "step-8"}) {
    std::filesystem::remove_all(files.dir / "run/checkpoints/" + later);
  }
  const Overrides resumed = settings + Overrides{"--resume", "auto"};
  REQUIRE(testing::mpirun(2, "ssa-train", files.train_arguments("run", resumed)).code == 0);
  const auto expected = read_metrics(files.dir / "whole/metrics.jsonl");
  const auto got = read_metrics(files.dir / "run/metrics.jsonl");
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i, got[i].step);
    CHECK(got[i].step == expected[i].step);
    CHECK(got[i].loss.value() == Approx(expected[i].loss.value()).epsilon(1e-5));
  }
}

TEST_CASE("labeled pictures come in the same order on other ranks with other workers", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const LabeledTree tree;
  write_bytes(tree.dir / "c.yaml", tree.yaml());
  // 6 of 12 pictures a step, the recipe whole. Dense and without drop path, because each rank draws
  // for itself.
  const auto arguments = [&tree](const std::string& run, const Overrides& more) {
    return Overrides{"--config", tree.dir / "c.yaml", "--run-dir", tree.dir / run} + more +
           Overrides{"--set", "ssa.kind=none", "model.swin.drop_path=0", "train.batch_size=6",
                     "train.checkpoint_every=3"};
  };
  REQUIRE(run_program("ssa-train", arguments("whole", {"--set", "data.workers=1"})).code == 0);
  const Overrides three = {"--set", "data.workers=3"};
  REQUIRE(testing::mpirun(3, "ssa-train", arguments("run", three)).code == 0);
  for (const char* later : {"step-6", "step-8"}) {
    std::filesystem::remove_all(tree.dir / "run/checkpoints/" + later);
  }
  const Overrides resumed = {"--set", "data.workers=2", "train.micro_batch=1", "--resume", "auto"};
  REQUIRE(testing::mpirun(2, "ssa-train", arguments("run", resumed)).code == 0);
  const auto expected = read_metrics(tree.dir / "whole/metrics.jsonl");
  const auto got = read_metrics(tree.dir / "run/metrics.jsonl");
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i, got[i].step);
    CHECK(got[i].step == expected[i].step);
    CHECK(got[i].loss.value() == Approx(expected[i].loss.value()).epsilon(1e-5));
  }
}

TEST_CASE("the predicted memory is within 8% of what a rank of two takes", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const std::string sharded = GENERATE("false", "true");
  const std::string reduce_precision = GENERATE("fp32", "bf16");
  CAPTURE(sharded, reduce_precision);
  const AppRun run;
  const Overrides settings = {"model.layers=4",
                              "model.width=64",
                              "model.ffn_width=256",
                              "model.heads=4",
                              "data.length=128",
                              "train.eval_every=0",
                              "train.checkpoint_every=0",
                              "distributed.shard_optimizer=" + sharded,
                              "distributed.reduce_precision=" + reduce_precision};
  REQUIRE(train(run, 2, "run", Overrides{"--set"} + settings).code == 0);
  int64_t measured = 0;
  for (const MetricsEvent& event : read_metrics(run.dir / "run/metrics.jsonl")) {
    if (event.split == "train") measured = std::max(measured, event.peak_memory_bytes.value());
  }
  const auto task = make_task(run.config(settings));
  const RunMemory plan = plan_memory(*task, task->config().train.micro_batch, 2);
  CHECK(static_cast<double>(plan.peak().total()) ==
        Approx(static_cast<double>(measured)).epsilon(0.08));
}

TEST_CASE("a job whose rank is killed goes on from its checkpoint to the same bits", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  REQUIRE(train(run, 2, "whole", kLong).code == 0);
  {
    const Accident accident(run.dir / "killed", 1, SIGKILL);
    CHECK(train(run, 2, "killed", kLong).code == 128 + SIGKILL);
  }
  REQUIRE_FALSE(path_exists(run.dir / "killed/checkpoints/step-300"));
  REQUIRE(train(run, 2, "killed", kLong + Overrides{"--resume", "auto"}).code == 0);
  CHECK((weights(run.dir / "killed") == weights(run.dir / "whole")));
}

TEST_CASE("the ranks that outlive a killed rank name it", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  const Accident accident(run.dir / "run", 1, SIGKILL);
  const testing::MpiJob job = train(run, 3, "run", kLong + Overrides{"train.batch_size=6"}, true);
  CHECK_THAT(job.output,
             Contains("rank 0 of 3, step ") && Contains("rank 1 is gone: its process has died"));
  // The first of them to end the job has mpirun end the other.
  CHECK_THAT(job.output, Contains("rank 0 returned 6") || Contains("rank 2 returned 6"));
}

TEST_CASE("a stopped rank ends the job with code 6 and its name", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  {
    const Accident accident(run.dir / "run", 1, SIGSTOP);
    const testing::MpiJob job = train(run, 2, "run", kLong);
    CHECK(job.code == 6);
    CHECK_THAT(job.output, Contains("did not finish within 3 s (distributed.timeout_seconds)") &&
                               Contains("rank 1 has been silent"));
  }
  CHECK(train(run, 2, "run", kLong + Overrides{"--resume", "auto"}).code == 0);
}

TEST_CASE("a signal to one rank makes all save the same step and end with 75", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  const std::string shard =
      GENERATE("distributed.shard_optimizer=false", "distributed.shard_optimizer=true");
  REQUIRE(train(run, 2, "whole", kLong + Overrides{shard}).code == 0);
  {
    const Accident accident(run.dir / "run", 1, SIGUSR1);
    CHECK(train(run, 2, "run", kLong + Overrides{shard}).code == 75);
  }
  const auto saved = find_latest_checkpoint(run.dir / "run", nullptr);
  REQUIRE(saved);
  CHECK(saved->step >= 40);
  CHECK(saved->step < 300);
  REQUIRE(train(run, 2, "run", kLong + Overrides{shard, "--resume", "auto"}).code == 0);
  CHECK((weights(run.dir / "run") == weights(run.dir / "whole")));
}

TEST_CASE("an error of all ranks is printed once", "[slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const AppRun run;
  const testing::MpiJob typo = train(run, 2, "typo", {"--set", "train.stepz=3"});
  CHECK(typo.code == 2);
  CHECK(times(typo.output, "did you mean train.steps?") == 1);
  const testing::MpiJob uneven = train(run, 3, "uneven", {});
  CHECK(uneven.code == 2);
  CHECK(times(uneven.output, "numbers of ranks that can: 1, 2, 4") == 1);
  CHECK_FALSE(path_exists(run.dir / "uneven"));
}
