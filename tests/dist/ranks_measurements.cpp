#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "dist/ranks_program.h"

namespace ssa::test {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

CollectiveBuffer buffer_of(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), DType::f32};
}

/// Arithmetic on what fits into the first cache, as a matrix product is: some 5 ms a unit.
float compute(int units) {
  std::vector<float> values(4096, 1.0f);
  for (int i = 0; i < units * 5000; ++i) {
    for (float& value : values) value = value * 0.999f + 0.001f;
  }
  return values[7];
}

}  // namespace

void measure_bandwidth(Communicator& ranks) {
  for (size_t bytes = 4 << 10; bytes <= 64 << 20; bytes *= 4) {
    std::vector<float> values(bytes / sizeof(float), 0.0f);
    double best = 1e9;
    for (int i = 0; i < 10; ++i) {
      ranks.barrier("a measurement");
      const Clock::time_point start = Clock::now();
      ranks.all_reduce(buffer_of(values), "zeros").wait();
      best = std::min(best, seconds_since(start));
    }
    if (ranks.rank() != 0) continue;
    std::printf("all_reduce of %8zu KiB: %8.3f ms, %6.2f GB/s\n", bytes >> 10, best * 1e3,
                static_cast<double>(bytes) / best * 1e-9);
  }
}

void measure_overlap(Communicator& ranks) {
  constexpr int kBuckets = 4, kUnits = 40;
  std::vector<std::vector<float>> buckets(kBuckets, std::vector<float>((25 << 20) / 4, 0.0f));
  double alone = 1e9, together = 1e9, waited = 0, exposed = 0;
  float sink = 0;
  for (int i = 0; i < 8; ++i) {
    ranks.barrier("a measurement");
    Clock::time_point start = Clock::now();
    for (int bucket = 0; bucket < kBuckets; ++bucket) sink += compute(kUnits);
    alone = std::min(alone, seconds_since(start));

    ranks.barrier("a measurement");
    start = Clock::now();
    std::vector<PendingCollective> pending;
    for (std::vector<float>& bucket : buckets) {
      sink += compute(kUnits);
      pending.push_back(ranks.all_reduce(buffer_of(bucket), "a bucket"));
    }
    const Clock::time_point computed = Clock::now();
    for (const PendingCollective& one : pending) one.wait();
    waited = seconds_since(computed);
    const double all = seconds_since(start);
    if (all < together) exposed = waited;
    together = std::min(together, all);
  }
  if (ranks.rank() != 0) return;
  std::printf(
      "computing alone %.1f ms; with 4 buckets of 25 MiB %.1f ms, of which %.1f ms waiting "
      "(%.0f)\n",
      alone * 1e3, together * 1e3, exposed * 1e3, static_cast<double>(sink));
}

}  // namespace ssa::test
