#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "dist/ranks_program.h"

namespace ssa::testing {

namespace {

/// Time since it was made.
class Stopwatch {
 public:
  double seconds() const { return now(CLOCK_MONOTONIC) - start_; }
  /// Of all threads of this process.
  double cpu_seconds() const { return now(CLOCK_PROCESS_CPUTIME_ID) - cpu_start_; }

 private:
  static double now(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

  double start_ = now(CLOCK_MONOTONIC), cpu_start_ = now(CLOCK_PROCESS_CPUTIME_ID);
};

/// Least of several measurements, as other programs only add to them.
struct Best {
  double seconds = 1e9, cpu = 1e9, waiting = 0;
  void take(const Stopwatch& watch, double waited) {
    if (watch.seconds() < seconds) waiting = waited;
    seconds = std::min(seconds, watch.seconds());
    cpu = std::min(cpu, watch.cpu_seconds());
  }
};

CollectiveBuffer buffer_of(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), DType::f32};
}

/// Arithmetic on what fits into the first cache, as a matrix product is: about 2 ms a unit.
void compute(int units) {
  [[maybe_unused]] static volatile float result;
  std::vector<float> values(4096, 1.0f);
  for (int i = 0; i < units * 2000; ++i) {
    for (float& value : values) value = value * 0.999f + 0.001f;
  }
  result = values[7];
}

}  // namespace

void measure_bandwidth(Communicator& ranks) {
  for (size_t bytes = 4 << 10; bytes <= 64 << 20; bytes *= 4) {
    std::vector<float> values(bytes / sizeof(float), 0.0f);
    double best = 1e9;
    for (int i = 0; i < 10; ++i) {
      ranks.barrier("a measurement");
      const Stopwatch watch;
      ranks.all_reduce(buffer_of(values), "zeros").wait();
      best = std::min(best, watch.seconds());
    }
    if (ranks.rank() != 0) continue;
    std::printf("all_reduce of %8zu KiB: %8.3f ms, %6.2f GB/s\n", bytes >> 10, best * 1e3,
                static_cast<double>(bytes) / best * 1e-9);
  }
}

void measure_overlap(Communicator& ranks) {
  constexpr int kBuckets = 4, kUnits = 40, kRepeats = 8;
  std::vector<std::vector<float>> buckets(kBuckets, std::vector<float>((25 << 20) / 4, 0.0f));
  Best alone, together;
  for (int i = 0; i < kRepeats; ++i) {
    ranks.barrier("a measurement");
    Stopwatch watch;
    for (int bucket = 0; bucket < kBuckets; ++bucket) compute(kUnits);
    alone.take(watch, 0);

    ranks.barrier("a measurement");
    watch = Stopwatch();
    std::vector<PendingCollective> pending;
    for (std::vector<float>& bucket : buckets) {
      compute(kUnits);
      pending.push_back(ranks.all_reduce(buffer_of(bucket), "a bucket"));
    }
    const double computed = watch.seconds();
    for (const PendingCollective& one : pending) one.wait();
    together.take(watch, watch.seconds() - computed);
  }
  if (ranks.rank() != 0) return;
  std::printf(
      "computing: %.1f ms, CPU %.1f ms; with %d all_reduces of 25 MiB: %.1f ms (%.1f of them "
      "waiting), CPU %.1f ms\n",
      alone.seconds * 1e3, alone.cpu * 1e3, kBuckets, together.seconds * 1e3,
      together.waiting * 1e3, together.cpu * 1e3);
}

}  // namespace ssa::testing
