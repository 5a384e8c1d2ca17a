#include "ssa/train/run_forecast.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kPlenty = int64_t{1} << 40;

const Overrides kDense = {"ssa.kind=none",         "model.width=16", "model.ffn_width=48",
                          "model.layers=2",        "data.length=32", "train.batch_size=8",
                          "train.micro_batch=auto"};

RunForecast forecast_of(const Overrides& more, ForecastRanks ranks = {1, kPlenty}) {
  return forecast(TinyRun().config(kDense + more), ranks);
}

/// Operations of the products of a sequence's layers and vocabulary, forward.
constexpr double kProducts = 2.0 * 32 * (2 * (4 * 16 * 16 + 2 * 16 * 48) + 16 * 256);
/// Of its attention: logits, and the weighted sum of values.
constexpr double kAttention = 2 * 4.0 * 32 * 32 * 16;

}  // namespace

TEST_CASE("the operations of a step are those of all its sequences, forward and backward") {
  const RunForecast known = forecast_of({});
  REQUIRE(known.sampled_step);
  CHECK_FALSE(known.finetune_step);
  CHECK(known.sampled_step->forward == Approx(8 * (kProducts + kAttention)));
  CHECK(known.sampled_step->backward == Approx(8 * (2 * kProducts + 2.5 * kAttention)));
  CHECK(known.terms_per_step == 8 * 32);

  const RunForecast shared = forecast_of({}, {4, kPlenty});
  CHECK(shared.examples_per_rank == 2);
  CHECK(shared.sampled_step->forward == Approx(known.sampled_step->forward));
  const RunForecast again = forecast_of({"train.activation_checkpointing=block"});
  CHECK(again.sampled_step->forward == Approx(known.sampled_step->forward));
  CHECK(again.sampled_step->backward > known.sampled_step->backward + 8 * kAttention);
}

TEST_CASE("a run takes as long as its phases together, divided among the ranks") {
  const Overrides sampled = {"ssa.kind=local", "ssa.windows=4", "ssa.finetune_fraction=0.25",
                             "train.steps=8"};
  const Config config = TinyRun().config(kDense + sampled);
  const RunForecast two = forecast(config, {2, kPlenty});
  REQUIRE(two.sampled_step);
  REQUIRE(two.finetune_step);
  CHECK(two.finetune_step->forward > two.sampled_step->forward);
  const auto flop = [](const StepFlop& step) { return step.forward + step.backward; };
  CHECK(training_seconds(two, config, 1e6).value() ==
        Approx((6 * flop(*two.sampled_step) + 2 * flop(*two.finetune_step)) / 2 / 1e6));
}

TEST_CASE("the largest micro-batch that fits is that of the memory that is meant") {
  const auto bytes = [](int64_t examples) {
    return plan_memory(*make_task(TinyRun().config(kDense)), examples).peak().total();
  };
  for (const int64_t expected : {8, 4, 2, 1}) {
    const auto memory = static_cast<int64_t>(static_cast<double>(bytes(expected)) / 0.9) + 2;
    const RunForecast known = forecast_of({}, {1, memory});
    CHECK(known.largest_micro_batch == expected);
    CHECK(known.fits);
    CHECK(known.micro_batch <= expected);  // `auto` takes half of the memory
    CHECK(known.memory.peak().total() == bytes(known.micro_batch));
  }
  const RunForecast small = forecast_of({}, {1, bytes(1)});
  CHECK_FALSE(small.largest_micro_batch);
  CHECK_FALSE(small.fits);
  const RunForecast fixed = forecast_of({"train.micro_batch=4"}, {1, 2 * bytes(2)});
  CHECK(fixed.micro_batch == 4);
  CHECK(forecast_of({"train.micro_batch=8"}, {4, kPlenty}).micro_batch == 2);
}

TEST_CASE("sharding saves what the others keep of the optimizer's state") {
  CHECK_FALSE(forecast_of({}).saved_by_sharding);
  const RunForecast four = forecast_of({}, {4, kPlenty});
  const auto moments = static_cast<double>(2 * 4 * four.parameters);
  CHECK(static_cast<double>(four.saved_by_sharding.value()) == Approx(0.75 * moments).epsilon(0.1));
  const RunForecast on = forecast_of({"distributed.shard_optimizer=true"}, {4, kPlenty});
  CHECK(on.saved_by_sharding == four.saved_by_sharding);
  CHECK_THROWS_WITH(forecast_of({}, {3, kPlenty}),
                    Catch::Contains("3 ranks cannot share 8 sequences evenly"));
}

TEST_CASE("checkpoints hold weights, their average and the optimizer's state") {
  const auto disk = [](const Overrides& more) { return forecast_of(more).disk; };
  const int64_t weights = 4 * forecast_of({}).parameters;
  CHECK(disk({}).checkpoint_bytes == 3 * weights);
  CHECK(disk({"train.optimizer.kind=sgd"}).checkpoint_bytes == 2 * weights);
  CHECK(disk({"train.ema_decay=0.9"}).checkpoint_bytes == 4 * weights);

  const Overrides often = {"train.steps=100", "train.checkpoint_every=10",
                           "train.keep_checkpoints=3"};
  CHECK(disk(often).checkpoints == 3);
  CHECK(disk(often).most_bytes == 4 * 3 * weights);  // one more before the oldest goes
  CHECK(disk(often + Overrides{"train.keep_best=true"}).checkpoints == 4);
  CHECK(disk(often + Overrides{"train.keep_every=50"}).checkpoints == 5);
  const ForecastDisk once = disk(often + Overrides{"train.checkpoint_every=0"});
  CHECK(once.checkpoints == 1);
  CHECK(once.most_bytes == 3 * weights);
}
