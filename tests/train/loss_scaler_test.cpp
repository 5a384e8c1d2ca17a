#include "ssa/train/loss_scaler.h"

#include <catch2/catch.hpp>

using ssa::LossScaler;
using ssa::Precision;

TEST_CASE("a loss scale doubles after enough good steps and halves at an overflow") {
  LossScaler scaler(Precision::fp16);
  CHECK(scaler.scale() == 65536);
  for (int64_t i = 1; i < LossScaler::kGrowthInterval; ++i) scaler.succeeded();
  CHECK(scaler.scale() == 65536);
  scaler.succeeded();
  CHECK(scaler.scale() == 131072);
  scaler.succeeded();
  CHECK(scaler.overflowed());
  CHECK(scaler.scale() == 65536);
  CHECK(scaler.good_steps() == 0);  // an overflow starts the count again
  for (int64_t i = 1; i < LossScaler::kGrowthInterval; ++i) scaler.succeeded();
  CHECK(scaler.scale() == 65536);
}

TEST_CASE("a loss scale ends at 1, where an overflow is the run's own") {
  LossScaler scaler(Precision::fp16);
  for (int i = 0; i < 16; ++i) CHECK(scaler.overflowed());
  CHECK(scaler.scale() == 1);
  CHECK_FALSE(scaler.overflowed());
  CHECK(scaler.scale() == 1);
}

TEST_CASE("a loss scale does not grow without end") {
  LossScaler scaler(Precision::fp16);
  scaler.restore(LossScaler::kLargestScale, LossScaler::kGrowthInterval - 1);
  scaler.succeeded();
  CHECK(scaler.scale() == LossScaler::kLargestScale);
}

TEST_CASE("fp32 and bf16 have no loss scale") {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    LossScaler scaler(precision);
    scaler.restore(1024, 7);
    for (int64_t i = 0; i <= LossScaler::kGrowthInterval; ++i) scaler.succeeded();
    CHECK_FALSE(scaler.overflowed());
    CHECK(scaler.scale() == 1);
  }
}

TEST_CASE("a loss scale goes on where it was saved") {
  LossScaler scaler(Precision::fp16), resumed(Precision::fp16);
  scaler.overflowed();
  for (int i = 0; i < 5; ++i) scaler.succeeded();
  resumed.restore(scaler.scale(), scaler.good_steps());
  for (int64_t i = 5; i < LossScaler::kGrowthInterval; ++i) {
    scaler.succeeded();
    resumed.succeeded();
  }
  CHECK(resumed.scale() == scaler.scale());
  CHECK(scaler.scale() == 65536);
}
