// The moving average of the weights: alone, in steps, and in runs that save and resume it.

#include "ssa/train/weight_average.h"

#include <cmath>
#include <limits>

#include <spdlog/spdlog.h>

#include "ssa/eval/evaluate.h"
#include "ssa/train/memory_plan.h"

#include "dist/thread_ranks.h"
#include "train/captured_log.h"
#include "train/tiny_stepper.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const Overrides kAveraged = {"train.ema_decay=0.75"};

std::vector<double> values_of(const std::vector<NamedTensor>& tensors) {
  std::vector<double> all;
  for (const NamedTensor& named : tensors) {
    const std::vector<double> part = values(named.tensor);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::string average_of(const std::string& folder, int step = 8) {
  return read_bytes(fmt::format("{}/checkpoints/step-{}/average.safetensors", folder, step));
}
std::string weights_of(const std::string& folder, int step = 8) {
  return read_bytes(fmt::format("{}/checkpoints/step-{}/model.safetensors", folder, step));
}

std::string checkpoint(const std::string& folder, int step) {
  return fmt::format("{}/checkpoints/step-{}", folder, step);
}

/// Loss and step of the validations.
std::vector<std::pair<int64_t, double>> scores(const std::string& folder) {
  std::vector<std::pair<int64_t, double>> all;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.split == "valid") all.emplace_back(event.step, event.loss.value());
  }
  return all;
}

/// The validation loss of weights in a file, as a training computes it.
double score_of(const Config& config, const std::string& file) {
  const std::unique_ptr<Task> task = make_task(config);
  ModelSession session(*task, Device::cpu);
  session.load(SafetensorsFile(file));
  const auto items = task->open_data()->evaluation(config, Split::valid, config.train.eval_tokens);
  return evaluate(session.model(), *task, *items, {.batch_size = config.train.micro_batch},
                  Device::cpu)
      .loss;
}

std::string train_on(const TinyRun& run, int ranks, const Overrides& overrides,
                     const std::string& name, const std::string& resume = "none") {
  const StopSignal stop;
  on_ranks(ranks, [&](Communicator& communicator) {
    omp_set_num_threads(1);
    Trainer(run.config(overrides), {run.dir / name, resume, Device::cpu, &communicator}).train();
  });
  return run.dir / name;
}

}  // namespace

TEST_CASE("the average follows the weights by hand over three steps") {
  const auto [device, dtype, tolerance] = GENERATE(std::tuple(Device::reference, DType::f64, 1e-15),
                                                   std::tuple(Device::cpu, DType::f32, 3e-7));
  ParameterStore store(device, dtype, 5);
  const Variable weight = store.add("weight", {3, 2}, Init::normal(1.0));
  const Variable bias = store.add("bias", {3}, Init::ones());
  const double decay = 0.9;
  WeightAverage average(decay, store);
  std::vector<double> expected;
  const auto all = [&] {
    std::vector<double> now = values(weight.value());
    const std::vector<double> rest = values(bias.value());
    now.insert(now.end(), rest.begin(), rest.end());
    return now;
  };
  expected = all();
  CHECK(values_of(average.named()) == expected);
  for (int step = 1; step <= 3; ++step) {
    for (const Variable& variable : {weight, bias}) {
      Tensor value = variable.value();
      backend(device).scale(value, step == 2 ? -3 : 0.5, value);
    }
    average.update();
    const std::vector<double> now = all(), got = values_of(average.named());
    REQUIRE(got.size() == 9);
    for (size_t i = 0; i < got.size(); ++i) {
      expected[i] = decay * expected[i] + (1 - decay) * now[i];
      CAPTURE(step, i);
      CHECK(std::abs(got[i] - expected[i]) <= tolerance);
    }
  }
  CHECK(average.named().front().name == "weight");
}

TEST_CASE("swapped with the average the model has it, and swapped back its own bits") {
  TinyStepper stepper(kAveraged);
  for (int step = 0; step < 3; ++step) REQUIRE(stepper.step(step).updated);
  WeightAverage* const average = stepper.stepper.average();
  REQUIRE(average != nullptr);
  const std::vector<double> trained = stepper.parameters();
  const std::vector<double> averaged = values_of(average->named());
  CHECK(trained != averaged);
  average->swap();
  CHECK(stepper.parameters() == averaged);
  average->swap();
  CHECK(stepper.parameters() == trained);
  CHECK(values_of(average->named()) == averaged);
  average->restart();
  CHECK(values_of(average->named()) == trained);
  CHECK(TinyStepper({}).stepper.average() == nullptr);
}

TEST_CASE("the average changes no bit of the weights, and skips steps that are skipped") {
  TinyStepper with(kAveraged), without({});
  const auto average = [&] { return values_of(with.stepper.average()->named()); };
  std::vector<double> expected = with.parameters();
  for (int step = 0; step < 2; ++step) {
    REQUIRE((with.step(step).updated && without.step(step).updated));
    const std::vector<double> now = with.parameters();
    CHECK(now == without.parameters());
    for (size_t i = 0; i < now.size(); ++i) expected[i] = 0.75 * expected[i] + 0.25 * now[i];
    CHECK(largest_difference(average(), expected) < 1e-6);
  }
  const std::vector<double> before = average();
  Tensor weight = with.stepper.session().parameters().all().front().variable.value();
  weight.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(with.step(2).updated);
  CHECK(average() == before);
}

TEST_CASE("a run with an average resumes bitwise from each of its checkpoints") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string whole = run.dir / "whole";
  REQUIRE(train(run.config(kAveraged), whole) == TrainOutcome::finished);
  for (const int step : {1, 3, 4, 7}) {
    CAPTURE(step);
    const std::string folder = run.dir / fmt::format("from-{}", step);
    REQUIRE(train(run.config(kAveraged), folder, checkpoint(whole, step)) ==
            TrainOutcome::finished);
    CHECK((average_of(folder) == average_of(whole)));
    CHECK((weights_of(folder) == weights_of(whole)));
    CHECK(scores(folder).back() == scores(whole).back());
  }
  // The manifest guards the file.
  flip_bit(checkpoint(whole, 8) + "/average.safetensors");
  CHECK(contains(message_of<CheckpointError>([&] { open_checkpoint(checkpoint(whole, 8)); }),
                 "average.safetensors is damaged"));
}

TEST_CASE("evaluation in training uses the average") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string with = run.dir / "with", without = run.dir / "without";
  REQUIRE(train(run.config(kAveraged), with) == TrainOutcome::finished);
  REQUIRE(train(run.config(), without) == TrainOutcome::finished);
  CHECK((weights_of(with) == weights_of(without)));
  CHECK_FALSE(path_exists(checkpoint(without, 8) + "/average.safetensors"));
  REQUIRE(scores(with).size() == 3);
  for (const auto& [step, loss] : scores(with)) {
    const std::string folder = checkpoint(with, static_cast<int>(step));
    CHECK(loss == score_of(run.config(), folder + "/average.safetensors"));
    CHECK(loss != score_of(run.config(), folder + "/model.safetensors"));
  }
}

TEST_CASE("an average is the same on any number of ranks that have the same weights") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const Overrides sharded = kAveraged + Overrides{"distributed.shard_optimizer=true"};
  const std::string two = train_on(run, 2, kAveraged, "two");
  const std::string split = train_on(run, 2, sharded, "split");
  CHECK((average_of(split) == average_of(two)));
  CHECK((average_of(train_on(run, 2, sharded, "resumed", checkpoint(two, 5))) == average_of(two)));
  CHECK(scores(split) == scores(two));
  // With another number of ranks it goes on from the same bits.
  const std::string four =
      train_on(run, 4, sharded + Overrides{"train.micro_batch=1"}, "four", checkpoint(split, 5));
  CHECK((average_of(four, 5) == average_of(split, 5)));
}

TEST_CASE("a rollback takes the average of the checkpoint, and no NaN enters it") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const Overrides overrides =
      kAveraged + Overrides{"train.steps=12", "train.checkpoint_every=4", "train.eval_every=0",
                            "train.max_skipped_steps=2"};
  const StopSignal stop;
  Trainer trainer(run.config(overrides), {run.dir / "run", "none", Device::cpu});
  bool ruined = false;
  {
    const HookGuard guard([&](FileOp op, const std::string& path) {
      if (op == FileOp::write && path.ends_with("metrics.jsonl") &&
          trainer.completed_steps() == 5 && !std::exchange(ruined, true)) {
        Tensor weight = trainer.session().parameters().all()[3].variable.value();
        weight.data<float>()[0] = NAN;
      }
      return FileFault{};
    });
    REQUIRE(trainer.train() == TrainOutcome::finished);
  }
  REQUIRE(ruined);
  REQUIRE(train(run.config(overrides), run.dir / "again", checkpoint(run.dir / "run", 8)) ==
          TrainOutcome::finished);
  CHECK((average_of(run.dir / "again", 12) == average_of(run.dir / "run", 12)));
  CHECK(std::isfinite(
      score_of(run.config(), checkpoint(run.dir / "run", 12) + "/average.safetensors")));
}

TEST_CASE("the average may be turned on and off when a run is resumed, which the log says") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config(), run.dir / "off") == TrainOutcome::finished);
  REQUIRE(train(run.config(kAveraged), run.dir / "on") == TrainOutcome::finished);
  const auto resumed = [&](const std::string& from, const Overrides& overrides) {
    const std::string folder = run.dir / ("then-" + from);
    const Log log;
    spdlog::set_level(spdlog::level::info);
    REQUIRE(train(run.config(overrides), folder, checkpoint(run.dir / from, 7)) ==
            TrainOutcome::finished);
    spdlog::set_level(spdlog::level::off);
    return log.text();
  };
  const std::string on = resumed("off", kAveraged);
  CAPTURE(on);
  CHECK(contains(on, "it starts from the weights of step 7"));
  CHECK(contains(on, "evaluations use a moving average of the weights (train.ema_decay = 0.75)"));
  // After one step it is a quarter of the way from the weights of step 7 to those of step 8.
  const auto values_in = [&](const std::string& file) {
    const std::unique_ptr<Task> task = make_task(run.config());
    ModelSession session(*task, Device::cpu);
    session.load(SafetensorsFile(file));
    return values_of(session.named_parameters());
  };
  std::vector<double> expected = values_in(checkpoint(run.dir / "off", 7) + "/model.safetensors");
  const auto now = values_in(checkpoint(run.dir / "off", 8) + "/model.safetensors");
  for (size_t i = 0; i < now.size(); ++i) expected[i] = 0.75 * expected[i] + 0.25 * now[i];
  CHECK(largest_difference(values_in(checkpoint(run.dir / "then-off", 8) + "/average.safetensors"),
                           expected) < 1e-6);

  const std::string off = resumed("on", {});
  CAPTURE(off);
  CHECK(contains(off, "an average of the weights, which is dropped"));
  CHECK_FALSE(contains(off, "evaluations use"));
  CHECK_FALSE(path_exists(checkpoint(run.dir / "then-on", 8) + "/average.safetensors"));
}

TEST_CASE("the memory plan counts four bytes a parameter for the average") {
  const TinyRun run;
  const auto plan = [&](const Overrides& overrides, int64_t ranks) {
    return plan_memory(*make_task(run.config(overrides)), 1, ranks).peak();
  };
  int64_t average = 0;
  const std::unique_ptr<Task> task = make_task(run.config());
  for (const NamedTensor& named : ModelSession(*task, Device::cpu).named_parameters()) {
    average += static_cast<int64_t>(
        CachingAllocator::rounded_size(static_cast<size_t>(4 * named.tensor.numel())));
  }
  for (const int64_t ranks : {1, 2}) {
    for (const Overrides& overrides :
         {Overrides{}, Overrides{"distributed.shard_optimizer=true"}}) {
      const MemoryPlan with = plan(kAveraged + overrides, ranks), without = plan(overrides, ranks);
      CHECK(with.optimizer - without.optimizer == average);
      CHECK(with.total() - without.total() == average);
    }
  }
}
