// ssa-bench collective: times collectives among the ranks, by size. Sizes and bandwidths are
// counted as in NVIDIA's nccl-tests, so that the results are comparable.

#include <algorithm>
#include <chrono>
#include <iostream>

#include <fmt/format.h>

#include "ssa/core/device_memory.h"
#include "ssa/train/device_ranks.h"

#include "apps/app.h"
#include "apps/bench.h"

namespace ssa::bench {
namespace {

using nlohmann::json;
using Start = PendingCollective (Communicator::*)(const CollectiveBuffer&, std::string);

struct Collective {
  const char* name;
  Start start;
  int64_t transfers;  // how often a rank's link carries the buffer, to be multiplied by (n-1)/n
};
constexpr Collective kCollectives[] = {{"all_reduce", &Communicator::all_reduce, 2},
                                       {"reduce_scatter", &Communicator::reduce_scatter, 1},
                                       {"all_gather", &Communicator::all_gather, 1}};

/// One collective on a buffer of `bytes`, the parts of all ranks together.
struct Measurement {
  const Collective& collective;
  DType dtype;
  int64_t bytes;
  double seconds;
  int64_t ranks;

  double algorithm_bandwidth() const { return static_cast<double>(bytes) / seconds; }
  /// The rate of a link if every byte takes the shortest way: independent of the number of ranks.
  double bus_bandwidth() const {
    const auto n = static_cast<double>(ranks);
    return algorithm_bandwidth() * static_cast<double>(collective.transfers) * (n - 1) / n;
  }
  json to_json() const {
    return {{"collective", collective.name},
            {"dtype", name(dtype)},
            {"bytes", bytes},
            {"seconds", seconds},
            {"algorithm_bandwidth", algorithm_bandwidth()},
            {"bus_bandwidth", bus_bandwidth()}};
  }
};

/// Seconds per call of the slowest rank, until its device is done. All ranks begin together.
double slowest_seconds(Communicator& ranks, Device device, int64_t calls,
                       const std::function<void()>& call) {
  ranks.barrier("beginning of a measurement");
  const auto started = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < calls; ++i) call();
  device_memory(device).wait();
  const double own =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const std::vector<double> all = ranks.gather(std::vector<double>{own}, "times");
  return *std::max_element(all.begin(), all.end()) / static_cast<double>(calls);
}

Measurement measure(DeviceRanks& on, const Collective& collective, DType dtype, int64_t bytes,
                    int64_t repeats) {
  Communicator& ranks = on.ranks();
  const int64_t size = ranks.size(), part = bytes / static_cast<int64_t>(size_of(dtype)) / size;
  Tensor values = Tensor::zeros({std::max<int64_t>(1, part) * size}, dtype, on.device());
  const CollectiveBuffer buffer{values.raw(), values.numel(), dtype};
  const auto call = [&] { (ranks.*collective.start)(buffer, collective.name).wait(); };
  slowest_seconds(ranks, on.device(), 1, call);  // connects and allocates
  // Several calls per measurement, so that its beginning and end count little.
  const double once = slowest_seconds(ranks, on.device(), 1, call);
  const auto calls = static_cast<int64_t>(std::clamp(0.02 / once, 1.0, 200.0));
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeats; ++i)
    seconds.push_back(slowest_seconds(ranks, on.device(), calls, call));
  return {collective, dtype, static_cast<int64_t>(buffer.bytes()), median(std::move(seconds)),
          size};
}

void print(const Measurement& one) {
  std::cout << fmt::format("{:15} {:5} {:12} {:12.1f} {:10.3f} {:10.3f}\n", one.collective.name,
                           name(one.dtype), one.bytes, one.seconds * 1e6,
                           one.algorithm_bandwidth() * 1e-9, one.bus_bandwidth() * 1e-9);
}

int run_on(DeviceRanks& on, const Options& options) {
  const Communicator& ranks = on.ranks();
  const bool first = ranks.rank() == 0;
  if (first) {
    std::cout << fmt::format("{}\n{:15} {:5} {:>12} {:>12} {:>10} {:>10}\n", ranks.description(),
                             "collective", "dtype", "bytes", "µs", "alg GB/s", "bus GB/s");
  }
  json measured = json::array();
  for (const Collective& collective : kCollectives) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (int64_t bytes = options.min_bytes; bytes <= options.max_bytes; bytes *= 4) {
        const Measurement one = measure(on, collective, dtype, bytes, options.repeats);
        if (first) print(one);
        measured.push_back(one.to_json());
      }
    }
  }
  if (!first) return 0;
  finish(options, {{"communicator", ranks.description()},
                   {"device", name(on.device())},
                   {"ranks", ranks.size()},
                   {"local_ranks", ranks.local_size()},
                   {"collectives", measured}});
  return 0;
}

}  // namespace

int run_collective(const Options& options) {
  return run_on_ranks("ssa-bench", [&](Communicator& host) {
    if (host.size() == 1) {
      throw ConfigError(
          "ssa-bench collective measures several ranks: mpirun -n 2 ssa-bench collective, or "
          "scripts/launch_local.sh -n 2 ssa-bench collective");
    }
    DeviceRanks on(options.device, host);
    return run_on(on, options);
  });
}

}  // namespace ssa::bench
