#include "ssa/train/schedule.h"

#include <cmath>

#include <catch2/catch.hpp>

using namespace ssa;

namespace {

TrainConfig schedule(DecayKind decay, int64_t steps, int64_t warmup) {
  TrainConfig train;
  train.steps = steps;
  train.optimizer.lr = 1.0;
  train.schedule = {.warmup_steps = warmup, .decay = decay, .min_lr = 0.2};
  return train;
}

}  // namespace

TEST_CASE("warm-up is linear from warmup_lr and ends at the peak") {
  for (const DecayKind decay :
       {DecayKind::constant, DecayKind::linear, DecayKind::cosine, DecayKind::inverse_sqrt}) {
    TrainConfig train = schedule(decay, 12, 4);
    CHECK(learning_rate(train, 0) == Approx(0.25));
    CHECK(learning_rate(train, 1) == Approx(0.5));
    CHECK(learning_rate(train, 2) == Approx(0.75));
    CHECK(learning_rate(train, 3) == Approx(1.0));
    train.schedule.warmup_lr = 0.6;
    CHECK(learning_rate(train, 0) == Approx(0.7));
    CHECK(learning_rate(train, 3) == Approx(1.0));
  }
}

TEST_CASE("each decay goes through the values computed by hand") {
  SECTION("constant stays") {
    const TrainConfig train = schedule(DecayKind::constant, 12, 4);
    CHECK(learning_rate(train, 4) == 1.0);
    CHECK(learning_rate(train, 11) == 1.0);
  }
  SECTION("linear begins at the peak and would reach min_lr after the last step") {
    const TrainConfig train = schedule(DecayKind::linear, 12, 4);
    CHECK(learning_rate(train, 4) == Approx(1.0));
    CHECK(learning_rate(train, 5) == Approx(0.9));
    CHECK(learning_rate(train, 8) == Approx(0.6));
    CHECK(learning_rate(train, 11) == Approx(0.3));
  }
  SECTION("cosine is half-way in the middle") {
    const TrainConfig train = schedule(DecayKind::cosine, 12, 4);
    CHECK(learning_rate(train, 4) == Approx(1.0));
    CHECK(learning_rate(train, 6) == Approx(0.6 + 0.4 * std::sqrt(0.5)));
    CHECK(learning_rate(train, 8) == Approx(0.6));
    CHECK(learning_rate(train, 10) == Approx(0.6 - 0.4 * std::sqrt(0.5)));
  }
  SECTION("inverse_sqrt halves when the steps quadruple, and stops at min_lr") {
    const TrainConfig train = schedule(DecayKind::inverse_sqrt, 1000, 4);
    CHECK(learning_rate(train, 4) == Approx(std::sqrt(4.0 / 5.0)));
    CHECK(learning_rate(train, 15) == Approx(0.5));
    CHECK(learning_rate(train, 63) == Approx(0.25));
    CHECK(learning_rate(train, 99) == Approx(0.2));
    CHECK(learning_rate(train, 999) == Approx(0.2));
  }
}

TEST_CASE("without warm-up the decay begins at once, with nothing else there is no decay") {
  CHECK(learning_rate(schedule(DecayKind::linear, 4, 0), 0) == Approx(1.0));
  CHECK(learning_rate(schedule(DecayKind::linear, 4, 0), 3) == Approx(0.4));
  CHECK(learning_rate(schedule(DecayKind::inverse_sqrt, 16, 0), 3) == Approx(0.5));
  CHECK(learning_rate(schedule(DecayKind::cosine, 4, 4), 3) == Approx(1.0));
  CHECK(learning_rate(schedule(DecayKind::cosine, 1, 0), 0) == Approx(1.0));
}

TEST_CASE("no step is spent at rate 0") {
  for (const DecayKind decay : {DecayKind::linear, DecayKind::cosine}) {
    for (const int64_t steps : {1, 2, 12, 1000}) {
      TrainConfig train = schedule(decay, steps, steps / 4);
      train.schedule.min_lr = 0;
      for (const int64_t step : {int64_t{0}, steps / 2, steps - 1}) {
        CAPTURE(steps, step);
        CHECK(learning_rate(train, step) > 0);
      }
    }
  }
}

TEST_CASE("the published Enwik8 schedule: 4,000 steps up, then linear from 0.001 to 0.0005") {
  TrainConfig train;
  train.steps = 10000;
  train.optimizer.lr = 1e-3;
  train.schedule = {.warmup_steps = 4000, .decay = DecayKind::linear, .min_lr = 5e-4};
  CHECK(learning_rate(train, 1999) == Approx(5e-4));
  CHECK(learning_rate(train, 3999) == Approx(1e-3));
  CHECK(learning_rate(train, 4000) == Approx(1e-3));
  CHECK(learning_rate(train, 7000) == Approx(7.5e-4));
  CHECK(learning_rate(train, 9999) == Approx(5e-4 + 5e-4 / 6000));
}
