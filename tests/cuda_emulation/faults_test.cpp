// The emulation reports mistakes of kernels, and continues after them.

#include "emulated.h"

namespace emulation {
namespace {

using Catch::Contains;
using ssa::cuda::block_sum;
using ssa::cuda::kAllLanes;
using ssa::cuda::launch;

/// Threads from `end` on leave before the barrier.
__global__ void leave_early(unsigned end, int* out) {
  if (threadIdx.x >= end) return;
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

TEST_CASE("emulated barriers do not wait for threads that have left") {
  for_each_order([] {
    for (const unsigned end : {1u, 33u, 63u, 64u}) {
      DeviceArray<int> out(2);
      launch("leave early", leave_early, 2, 64, 0, end, out.data());
      CHECK(out.values() == std::vector<int>(2, static_cast<int>(end)));
    }
  });
}

/// Each warp reads, three times over, what the other one has left in its place.
template <class Barrier>
__global__ void exchange_places(int* out, Barrier barrier) {
  __shared__ int places[2];
  const unsigned warp = threadIdx.x / 32;
  int sum = 0;
  for (int round = 1; round <= 3; ++round) {
    if (threadIdx.x % 32 == 0) places[warp] = round;
    barrier();
    sum += places[1 - warp];
    barrier();
  }
  out[threadIdx.x] = sum;
}

TEST_CASE("emulated warps run ahead of each other where only a barrier of the warp stands") {
  DeviceArray<int> out(64);
  for_each_order([&] {
    const auto all = [] { __syncthreads(); };
    launch("exchange", exchange_places<decltype(all)>, 1, 64, 0, out.data(), all);
    CHECK(out.values() == std::vector<int>(64, 6));
    const auto own = [] { __syncwarp(); };
    launch("exchange", exchange_places<decltype(own)>, 1, 64, 0, out.data(), own);
    CHECK(out.values() != std::vector<int>(64, 6));
  });
}

__global__ void half_sum(int* out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
}

__global__ void barrier_in_branch(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
    if (threadIdx.x % 2 == 0) __syncwarp();
  }
}

__global__ void out_of_step(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 1);
  } else {
    out[threadIdx.x] = __any_sync(kAllLanes, 1);
  }
}

__global__ void partial_mask(int* out) { out[threadIdx.x] = __shfl_sync(0xffffu, 1, 1); }

__global__ void sum_of_block(int* out) { out[threadIdx.x] = block_sum(1); }

TEST_CASE("emulated threads that wait for others in vain are reported") {
  for_each_order([] {
    DeviceArray<int> out(64);
    CHECK_THAT(launch_error(half_sum, 1, 32, out.data()),
               Contains("deadlock in block (0, 0, 0)") &&
                   Contains("warp 0: 16 lanes at a shuffle, 16 finished"));
    CHECK_THAT(launch_error(barrier_in_branch, 1, 64, out.data()),
               Contains("of 64 threads, 32 wait at __syncthreads and 16 have finished") &&
                   Contains("warp 1: 16 lanes at __syncwarp"));
    launch("sum", sum_of_block, 1, 64, 0, out.data());  // the next launch is not affected
    CHECK(out.values() == std::vector<int>(64, 64));
  });
}

TEST_CASE("emulated warps that are not whole or not in step are reported") {
  for_each_order([] {
    DeviceArray<int> out(64);
    CHECK_THAT(launch_error(out_of_step, 1, 32, out.data()), Contains("is not in step"));
    CHECK_THAT(launch_error(partial_mask, 1, 32, out.data()), Contains("mask 0xffff"));
    CHECK_THAT(launch_error(sum_of_block, 1, 48, out.data()), Contains("a warp of 16 threads"));
    launch("sum", sum_of_block, 1, 64, 0, out.data());
    CHECK(out.values() == std::vector<int>(64, 64));
  });
}

/// Without a barrier between the writer and its readers.
__global__ void race(int* out) {
  __shared__ int value;
  if (threadIdx.x == 0) value = static_cast<int>(blockIdx.x) + 1;
  out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

TEST_CASE("emulated threads in the other order show a missing barrier") {
  std::vector<std::vector<int>> results;
  for_each_order([&] {
    DeviceArray<int> out(2 * 64);
    launch("race", race, 2, 64, 0, out.data());
    results.push_back(out.values());
  });
  CHECK(results[0] != results[1]);
}

}  // namespace
}  // namespace emulation
