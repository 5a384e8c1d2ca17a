#include "ssa/train/stepper.h"

#include <cmath>
#include <limits>

#include "ssa/models/decoder_plans.h"
#include "ssa/train/schedule.h"

#include "train/tiny_stepper.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const Overrides kNoDropout = {"model.dropout=0", "model.attention_dropout=0",
                              "model.activation_dropout=0"};
const Overrides kPlainSgd = {"train.optimizer.kind=sgd", "train.optimizer.momentum=0"};

double norm_of(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("micro-batches add up to the whole batch, under the one set of plans of the step") {
  TinyStepper whole(kNoDropout + Overrides{"train.micro_batch=4"});
  const StepResult expected = whole.step();
  const std::vector<double> gradients = whole.gradients();
  REQUIRE(norm_of(gradients) > 0.1);
  for (const char* micro : {"train.micro_batch=2", "train.micro_batch=1"}) {
    CAPTURE(micro);
    TinyStepper parts(kNoDropout + std::vector<std::string>{micro});
    const StepResult got = parts.step();
    CHECK(got.loss == Approx(expected.loss).epsilon(1e-6));
    CHECK(got.grad_norm == Approx(expected.grad_norm).epsilon(1e-5));
    CHECK(largest_difference(parts.gradients(), gradients) < 1e-6);
  }
}

TEST_CASE("a step reports its loss before the update, the unclipped norm and the scheduled rate") {
  TinyStepper stepper(kNoDropout);
  const StepResult first = stepper.step(0);
  CHECK(first.updated);
  CHECK(first.loss > 4.0);  // 256 bytes, nothing learned: around log 256 = 5.5
  CHECK(first.loss < 8.0);
  CHECK(first.grad_norm == Approx(norm_of(stepper.gradients())).epsilon(1e-5));
  CHECK(first.learning_rate == learning_rate(stepper.config.train, 0));
  CHECK(stepper.step(5).learning_rate == learning_rate(stepper.config.train, 5));
}

TEST_CASE("the gradient is clipped to clip_norm, and only if it is longer") {
  const Overrides common = kNoDropout + kPlainSgd +
                           Overrides{"train.optimizer.lr=0.5", "train.schedule.decay=constant",
                                     "train.schedule.warmup_steps=0"};
  const auto moved_by = [&](const std::string& clip) {
    TinyStepper stepper(common + std::vector<std::string>{clip});
    const std::vector<double> before = stepper.parameters();
    const StepResult result = stepper.step();
    std::vector<double> moved = stepper.parameters();
    for (size_t i = 0; i < moved.size(); ++i) moved[i] -= before[i];
    return std::pair(norm_of(moved), result.grad_norm);
  };
  const auto [free, norm] = moved_by("train.clip_norm=0");
  CHECK(free == Approx(0.5 * norm).epsilon(1e-4));
  const auto [clipped, clipped_norm] = moved_by("train.clip_norm=0.01");
  CHECK(clipped == Approx(0.5 * 0.01).epsilon(1e-3));
  CHECK(clipped_norm == norm);
  CHECK(moved_by("train.clip_norm=1000") == std::pair(free, norm));
}

TEST_CASE("a loss that is not finite leaves parameters and optimizer alone") {
  for (const float poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    CAPTURE(poison);
    TinyStepper stepper({});
    REQUIRE(stepper.step(0).updated);
    Tensor weight = stepper.stepper.session().parameters().all().front().variable.value();
    const float healthy = weight.data<float>()[weight.numel() / 2];
    std::fill_n(weight.data<float>(), weight.numel(), poison);
    const std::vector<double> before = stepper.parameters();
    const std::vector<double> moments = values(stepper.stepper.optimizer().state()[3].tensor);
    const StepResult result = stepper.step(1);
    CHECK_FALSE(result.updated);
    CHECK_FALSE(std::isfinite(result.loss));
    CHECK(stepper.stepper.optimizer().updates() == 1);
    CHECK(values(stepper.stepper.optimizer().state()[3].tensor) == moments);
    const std::vector<double> after = stepper.parameters();
    for (size_t i = 0; i < after.size(); ++i) {
      if (std::isfinite(before[i])) REQUIRE(after[i] == before[i]);
    }
    std::fill_n(weight.data<float>(), weight.numel(), healthy);
    CHECK(stepper.step(2).updated);  // the next good step continues as if nothing had happened
  }
}

TEST_CASE("checkpointed activations change no bit of a step, dropout included") {
  TinyStepper plain({}), frugal({"train.activation_checkpointing=block"});
  CHECK(plain.step().loss == frugal.step().loss);
  CHECK(plain.gradients() == frugal.gradients());
  CHECK(plain.parameters() == frugal.parameters());
}

TEST_CASE("dropout masks differ between steps and between micro-batches") {
  const auto loss_of = [](int64_t step, const std::vector<int64_t>& starts) {
    TinyStepper stepper({"train.micro_batch=1", "model.dropout=0.5"});
    StepItem item;
    for (const int64_t start : starts) {
      const std::vector<int64_t> one = {start};
      item.micro_batches.push_back(lm_batch(stepper.dataset, Split::train, one, 32));
    }
    item.plans = draw_plans(dense_plan_specs(2, 32), RngKey{});
    return stepper.stepper.step(step, item).loss;
  };
  const double once = loss_of(0, {64});
  CHECK(loss_of(0, {64}) == once);
  CHECK(loss_of(1, {64}) != once);
  CHECK(loss_of(0, {64, 64}) != Approx(once).epsilon(1e-6));  // one sequence, two masks
}

TEST_CASE("the plans of a step follow its number and seed, and turn dense for +FT") {
  const TinyRun run;
  const Config config = run.config();
  REQUIRE(finetune_start(config) == 4);
  const auto plans_of = [&](int64_t step, const Overrides& overrides = {}) {
    std::vector<Batch> none;
    return plans_of_step(LanguageModelTask(run.config(overrides)), none, step);
  };
  const auto plans = plans_of(3);
  REQUIRE(plans.size() == 2);
  CHECK(plans[0].windows == 4);
  CHECK_FALSE(plans[0] == plans[1]);
  CHECK(plans_of(3) == plans);
  CHECK_FALSE(plans_of(2) == plans);
  CHECK_FALSE(plans_of(3, {"train.seed=2"}) == plans);

  const auto dense = draw_plans(dense_plan_specs(2, 32), RngKey{});
  for (const int64_t step : {4, 7}) CHECK(plans_of(step) == dense);
  CHECK_FALSE(plans_of(7, {"ssa.finetune_fraction=0"}) == dense);
  CHECK(plans_of(0, {"ssa.kind=none"}) == dense);
}

TEST_CASE("bf16 activations train f32 parameters to nearly the same loss") {
  TinyStepper full(kNoDropout), half(kNoDropout + Overrides{"train.precision=bf16"});
  double full_loss = 0, half_loss = 0;
  for (int64_t step = 0; step < 6; ++step) {
    full_loss = full.step(step).loss;
    half_loss = half.step(step).loss;
  }
  CHECK(half_loss != full_loss);
  CHECK(half_loss == Approx(full_loss).epsilon(0.01));
  for (const Parameter& parameter : half.stepper.session().parameters().all()) {
    CHECK(parameter.variable.value().dtype() == DType::f32);
    CHECK(parameter.variable.grad().dtype() == DType::f32);
  }
  for (const Optimizer::State& state : half.stepper.optimizer().state()) {
    CHECK(state.tensor.dtype() == DType::f32);
  }
}

TEST_CASE("fp16 gradients are scaled, and a scale too high is lowered without an update",
          "[slow]") {
  const Overrides fp16 = kNoDropout + Overrides{"train.precision=fp16", "train.batch_size=1",
                                                "train.micro_batch=1", "train.clip_norm=0"};
  TinyStepper stepper(fp16, Device::reference);
  REQUIRE(stepper.stepper.scaler().scale() == LossScaler::kInitialScale);
  stepper.stepper.scaler().restore(LossScaler::kLargestScale, 5);
  const std::vector<double> before = stepper.parameters();
  StepResult result = stepper.step(0);
  REQUIRE_FALSE(result.updated);  // 2^24 times the gradient is beyond fp16's 65504
  CHECK(result.rescaled);
  CHECK(std::isfinite(result.loss));
  CHECK(stepper.stepper.scaler().scale() == LossScaler::kLargestScale / 2);
  CHECK(stepper.parameters() == before);
  CHECK(stepper.stepper.optimizer().updates() == 0);
  for (int tries = 0; tries < 24 && !result.updated; ++tries) result = stepper.step(0);
  REQUIRE(result.updated);
  CHECK(stepper.stepper.optimizer().updates() == 1);

  // The norm is that of the gradient itself, whatever the scale.
  TinyStepper exact(kNoDropout + Overrides{"train.batch_size=1", "train.micro_batch=1"});
  CHECK(result.grad_norm == Approx(exact.step(0).grad_norm).epsilon(0.02));
}

TEST_CASE("a steady training step asks the system for no memory") {
  const std::string precision = GENERATE("fp32", "bf16");
  const std::string checkpointing = GENERATE("none", "attention", "block");
  CAPTURE(precision, checkpointing);
  TinyStepper stepper({"train.precision=" + precision, "train.micro_batch=2",
                       "train.activation_checkpointing=" + checkpointing});
  for (int64_t step = 0; step < 2; ++step) stepper.step(step);
  const int64_t requests = host_allocator().stats().system_allocations;
  for (int64_t step = 2; step < 4; ++step) stepper.step(step);  // +FT begins at step 4
  CHECK(host_allocator().stats().system_allocations == requests);
}
