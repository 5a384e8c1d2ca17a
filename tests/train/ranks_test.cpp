// Training on several ranks, which are threads here. tests/apps/ranks_test.cpp has them as
// processes.

#include <cmath>
#include <csignal>
#include <map>

#include <spdlog/spdlog.h>

#include "ssa/data/lm_sampler.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "dist/thread_ranks.h"
#include "train/signal_self.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const Overrides kDense = {"ssa.kind=none", "train.micro_batch=1"};

/// Trains on several ranks and returns the folder.
std::string train_on(const TinyRun& run, int ranks, const Overrides& overrides,
                     const std::string& name, const std::string& resume = "none") {
  spdlog::set_level(spdlog::level::off);
  const std::string folder = run.dir / name;
  const StopSignal stop;
  testing::on_ranks(ranks, [&](Communicator& communicator) {
    omp_set_num_threads(1);
    Trainer trainer(run.config(overrides), {folder, resume, Device::cpu, &communicator});
    trainer.train();
  });
  return folder;
}

std::vector<double> training_losses(const std::string& folder) {
  std::vector<double> losses;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.split == "train") losses.push_back(event.loss.value());
  }
  return losses;
}

std::string weights(const std::string& folder, int64_t step = 8) {
  return read_bytes(folder + "/checkpoints/step-" + std::to_string(step) + "/model.safetensors");
}

std::map<std::string, double> last_numbers(const std::string& folder) {
  std::map<std::string, double> last;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.split != "train") continue;
    for (const auto& [name, value] : event.metrics) last[name] = value;
  }
  return last;
}

}  // namespace

TEST_CASE("a dense run has the same losses on 1, 2 and 4 ranks, dropout included") {
  const TinyRun run;
  const std::vector<double> expected = training_losses(train_on(run, 1, kDense, "one"));
  REQUIRE(expected.size() == 8);
  for (const int ranks : {2, 4}) {
    const std::string folder = train_on(run, ranks, kDense, fmt::format("on-{}", ranks));
    const std::vector<double> got = training_losses(folder);
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-5));
    CHECK(last_numbers(folder).at("ranks") == ranks);
    CHECK(path_exists(folder + "/logs/rank-1.txt"));
  }
}

TEST_CASE("two ranks give the same bits every time, buckets sent early or late") {
  const TinyRun run;
  const std::string expected = weights(train_on(run, 2, {}, "first"));
  REQUIRE(expected.size() > 10000);
  CHECK(weights(train_on(run, 2, {}, "again")) == expected);
  CHECK(weights(train_on(run, 2, {"distributed.overlap=false"}, "late")) == expected);
  CHECK(weights(train_on(run, 2, {"distributed.shard_optimizer=true"}, "sharded")) == expected);
}

TEST_CASE("each rank draws plans of its own") {
  const TinyRun run;
  const LanguageModelTask task(run.config());
  std::vector<Batch> none;
  CHECK_FALSE(plans_of_step(task, none, 0, 0) == plans_of_step(task, none, 0, 1));
  CHECK(plans_of_step(task, none, 0, 1) == plans_of_step(task, none, 0, 1));
}

TEST_CASE("a run goes on bitwise on as many ranks, sharded or not") {
  const TinyRun run;
  const std::string shard =
      GENERATE("distributed.shard_optimizer=false", "distributed.shard_optimizer=true");
  const std::string whole = train_on(run, 2, {shard}, "whole");
  const std::string resumed = train_on(run, 2, {shard}, "resumed", whole + "/checkpoints/step-5");
  CHECK(weights(resumed) == weights(whole));
  CHECK(training_losses(resumed).size() == 3);
}

TEST_CASE("a run goes on with other numbers of ranks, at the sample it had come to") {
  const TinyRun run;
  const std::string shard =
      GENERATE("distributed.shard_optimizer=false", "distributed.shard_optimizer=true");
  const std::vector<double> expected = training_losses(train_on(run, 1, kDense, "one"));
  const std::string two =
      train_on(run, 2, kDense + Overrides{shard, "train.checkpoint_every=3"}, "two");
  for (const int ranks : {1, 4}) {
    const std::string folder = train_on(run, ranks, kDense + Overrides{shard},
                                        fmt::format("then-{}", ranks), two + "/checkpoints/step-3");
    const std::vector<double> got = training_losses(folder);
    REQUIRE(got.size() == 5);
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[3 + i]).epsilon(1e-5));
  }
}

TEST_CASE("ranks that cannot share the batch are refused with those that can") {
  const TinyRun run;
  CHECK_THROWS_WITH(train_on(run, 3, {}, "three"), Catch::Contains("train.batch_size: 3 ranks") &&
                                                       Catch::Contains("that can: 1, 2, 4"));
  CHECK_THROWS_WITH(train_on(run, 2, {"train.batch_size=12", "train.micro_batch=4"}, "micro"),
                    Catch::Contains("train.micro_batch: 4 does not divide the 6 sequences"));
}

TEST_CASE("ranks of different runs are refused before anything is written, with both values") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  write_bytes(run.dir / "longer.txt", sample_text(6001));
  const auto message_for = [&](const Overrides& of_rank_1, const std::string& resume = "none") {
    return message_of<ConfigError>([&] {
      testing::on_ranks(2, [&](Communicator& ranks) {
        omp_set_num_threads(1);
        const bool other = ranks.rank() == 1;
        const Config config = run.config(other ? of_rank_1 : Overrides{});
        Trainer trainer(config, {run.dir / "run", other ? resume : "none", Device::cpu, &ranks});
        trainer.train();
      });
    });
  };
  const auto same_size = "data.path=" + run.dir / "other.txt";
  write_bytes(run.dir / "other.txt", sample_text(6000, 4));
  for (const auto& [override, expected] :
       {std::pair<std::string, std::string>{"train.optimizer.lr=0.5", "0.01 on rank 0; 0.5 on"},
        {"train.seed=7", "train.seed: 1 on rank 0; 7 on rank 1"},
        {"ssa.windows=8", "ssa.windows: 4 on rank 0; 8 on rank 1"},
        {"train.batch_size=8", "train.batch_size: 4 on rank 0; 8 on rank 1"},
        {"train.batch_size=6", "train.batch_size: 4 on rank 0; 6 on rank 1"},
        {"model.activation=relu", "model.activation: gelu on rank 0; relu on rank 1"},
        {"model.width=32", "model.width: 16 on rank 0; 32 on rank 1"},
        {"train.steps=9", "train.steps: 8 on rank 0; 9 on rank 1"},
        {"train.eval_every=2", "train.eval_every: 3 on rank 0; 2 on rank 1"},
        {"data.path=" + run.dir / "longer.txt", "6000 bytes on rank 0; 6001 bytes on rank 1"},
        {same_size, "other.txt on rank 1"},
        {same_size, "checksum of the data: "}}) {
    CAPTURE(override);
    CHECK_THAT(message_for({override}), Catch::Contains(expected));
  }
  CHECK_THAT(message_for({}, "auto"), Catch::Contains("--resume: none on rank 0; auto on rank 1"));
  CHECK_FALSE(path_exists(run.dir / "run"));
}

TEST_CASE("a gradient that is not finite on one rank is skipped on all") {
  const TinyRun run;
  const LanguageModelTask task(run.config({"train.max_skipped_steps=20"}));
  std::vector<StepResult> results(2);
  std::vector<std::vector<double>> after(2);
  testing::on_ranks(2, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    Stepper stepper(task, Device::cpu, &ranks);
    const TokenDataset dataset = TokenDataset::open(run.text_path);
    const LmSampler sampler(1, dataset.split_size(Split::train), 32);
    const auto own = static_cast<size_t>(ranks.rank());
    Tensor weight = stepper.session().parameters().all()[3].variable.value();
    const float healthy = weight.data<float>()[0];
    if (own == 1) weight.data<float>()[0] = NAN;
    StepItem item{{sampler.batch(dataset, Split::train, 2 * ranks.rank(), 2)}, {}};
    item.plans = plans_of_step(task, item.micro_batches, 0, ranks.rank());
    results[own] = stepper.step(0, item);
    if (own == 1) weight.data<float>()[0] = healthy;
    for (const Parameter& parameter : stepper.session().parameters().all()) {
      const Tensor& now = parameter.variable.value();
      const float* elements = now.data<float>();
      after[own].insert(after[own].end(), elements, elements + now.numel());
    }
  });
  for (const StepResult& result : results) {
    CHECK_FALSE(result.updated);
    CHECK(std::isnan(result.loss));
  }
  CHECK(after[0] == after[1]);
}

TEST_CASE("a signal on one rank stops all after the same step, saved") {
  const TinyRun run;
  std::vector<int64_t> steps(2);
  std::vector<TrainOutcome> outcomes(2);
  const std::string folder = run.dir / "stopped";
  spdlog::set_level(spdlog::level::off);
  const StopSignal stop;
  int lines = 0;
  const HookGuard guard([&](FileOp op, const std::string& path) {
    if (op == FileOp::write && path.ends_with("metrics.jsonl") && ++lines == 2)
      signal_self(SIGUSR1);
    return FileFault{};
  });
  testing::on_ranks(2, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    const auto own = static_cast<size_t>(ranks.rank());
    Trainer trainer(run.config({"train.eval_every=0"}), {folder, "none", Device::cpu, &ranks});
    outcomes[own] = trainer.train();
    steps[own] = trainer.completed_steps();
  });
  CHECK(outcomes == std::vector<TrainOutcome>(2, TrainOutcome::interrupted));
  CHECK(steps[0] == steps[1]);
  CHECK(steps[0] < 8);
  CHECK(path_exists(fmt::format("{}/checkpoints/step-{}", folder, steps[0])));
}

TEST_CASE("a job whose peer fails is told of the checkpoint that it can go on from, if any") {
  const TinyRun run;
  const StopSignal stop;
  const auto [step, advice] = GENERATE(
      std::pair<int64_t, std::string>{3, "rank 1 is gone"},
      std::pair<int64_t, std::string>{
          5, "rank 1 is gone. The job can go on from its checkpoint of step 4: --resume auto"});
  Trainer trainer(run.config({"train.checkpoint_every=4"}), {run.dir / "run", "none", Device::cpu});
  const HookGuard guard([&](FileOp op, const std::string& path) {
    const bool logs = op == FileOp::write && path.ends_with("metrics.jsonl");
    if (logs && trainer.completed_steps() == step) throw PeerError("rank 1 is gone");
    return FileFault{};
  });
  CHECK(message_of<PeerError>([&] { trainer.train(); }) == advice);
}
