// Collectives of the threads of a block and the lanes of a warp.

#include "emulated.h"

namespace emulation {
namespace {

using ssa::cuda::block_sum;
using ssa::cuda::dynamic_shared;
using ssa::cuda::kAllLanes;
using ssa::cuda::launch;

__global__ void sum_rows(const int* in, int columns, int* out) {
  int sum = 0;
  for (unsigned i = threadIdx.x; i < static_cast<unsigned>(columns); i += blockDim.x) {
    sum += in[static_cast<int>(blockIdx.x) * columns + static_cast<int>(i)];
  }
  sum = block_sum(sum);
  sum += block_sum(static_cast<int>(threadIdx.x == 0));  // shared memory is used again
  if (threadIdx.x == blockDim.x - 1) out[blockIdx.x] = sum;
}

TEST_CASE("emulated blocks sum over their threads") {
  constexpr int kRows = 5, kColumns = 777;
  std::vector<int> values(kRows * kColumns), expected(kRows, 1);
  for (int i = 0; i < kRows * kColumns; ++i) {
    values[static_cast<size_t>(i)] = i * i % 1001;
    expected[static_cast<size_t>(i / kColumns)] += i * i % 1001;
  }
  DeviceArray<int> in(values);
  for_each_order([&] {
    for (const unsigned threads : {32u, 96u, 1024u}) {
      DeviceArray<int> out(kRows);
      launch("sum", sum_rows, kRows, threads, 0, in.data(), kColumns, out.data());
      CHECK(out.values() == expected);
    }
  });
}

__global__ void shuffles(int* out) {
  const int lane = static_cast<int>(threadIdx.x), mine = 100 + lane;
  int* mine_out = out + 8 * lane;
  mine_out[0] = __shfl_sync(kAllLanes, mine, 7);
  mine_out[1] = __shfl_sync(kAllLanes, mine, 3, 8);
  mine_out[2] = __shfl_xor_sync(kAllLanes, mine, 5);
  mine_out[3] = __shfl_down_sync(kAllLanes, mine, 4);
  mine_out[4] = __shfl_up_sync(kAllLanes, mine, 4);
  mine_out[5] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  mine_out[6] = __any_sync(kAllLanes, lane == 31) + 2 * __all_sync(kAllLanes, lane < 31);
  mine_out[7] = static_cast<int>(__match_any_sync(kAllLanes, lane / 4));
}

TEST_CASE("emulated lanes exchange values as a warp's do") {
  for_each_order([] {
    DeviceArray<int> out(32 * 8);
    launch("shuffles", shuffles, 1, 32, 0, out.data());
    const std::vector<int> values = out.values();
    for (int lane = 0; lane < 32; ++lane) {
      INFO("lane " << lane);
      const int* mine = values.data() + 8 * lane;
      CHECK(mine[0] == 107);
      CHECK(mine[1] == 100 + lane / 8 * 8 + 3);
      CHECK(mine[2] == 100 + (lane ^ 5));
      CHECK(mine[3] == 100 + (lane + 4 < 32 ? lane + 4 : lane));
      CHECK(mine[4] == 100 + (lane >= 4 ? lane - 4 : lane));
      CHECK(static_cast<unsigned>(mine[5]) == 0x49249249u);
      CHECK(mine[6] == 1);
      CHECK(static_cast<unsigned>(mine[7]) == 0xfu << (lane / 4 * 4));
    }
  });
}

struct Fragment {
  float values[10];
};

__global__ void gather_twice(float* out) {
  Fragment mine{};
  for (int i = 0; i < 10; ++i) mine.values[i] = static_cast<float>(threadIdx.x) + 0.1f * i;
  const Fragment* all = gather_lanes(mine);
  float sum = 0;
  for (int source = 0; source < 32; ++source) sum += all[source].values[threadIdx.x % 10];
  const float* sums = gather_lanes(sum);
  out[threadIdx.x] = sums[(threadIdx.x + 1) % 32];
}

TEST_CASE("emulated lanes see what all of them deposited") {
  for_each_order([] {
    DeviceArray<float> out(64);
    launch("gather", gather_twice, 1, 64, 0, out.data());
    const std::vector<float> values = out.values();
    for (int thread = 0; thread < 64; ++thread) {
      const int warp = thread / 32, next = warp * 32 + (thread + 1) % 32;
      const float expected = 32.0f * (15.5f + 32.0f * warp + 0.1f * (next % 10));
      CHECK(values[static_cast<size_t>(thread)] == Approx(expected));
    }
  });
}

/// Every thread reads what another warp's thread has written.
__global__ void reverse(const int* in, int* out, int count) {
  int* shared = dynamic_shared<int>();
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = in[static_cast<int>(blockIdx.x) * count + i];
  __syncthreads();
  out[static_cast<int>(blockIdx.x) * count + i] = shared[count - 1 - i];
}

TEST_CASE("emulated dynamic shared memory is the block's, up to what is asked for") {
  for_each_order([] {
    std::vector<int> values(3 * 96);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
    DeviceArray<int> in(values), out(values.size());
    launch("reverse", reverse, 3, 96, 96 * sizeof(int), in.data(), out.data(), 96);
    const std::vector<int> result = out.values();
    for (size_t i = 0; i < values.size(); ++i) {
      CHECK(result[i] == static_cast<int>(i / 96 * 96 + 95 - i % 96));
    }
    launch("reverse", reverse, 1, 96, size_t{100} << 10, in.data(), out.data(), 96);
  });
}

__global__ void indices(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  atomicAdd(out + block * blockDim.x * blockDim.y * blockDim.z + thread, 1);
}

TEST_CASE("emulated grids and blocks of three extents run each thread once") {
  for_each_order([] {
    DeviceArray<int> out(std::vector<int>(2 * 3 * 4 * 5 * 2 * 3, 0));
    launch("indices", indices, dim3(2, 3, 4), dim3(5, 2, 3), 0, out.data());
    CHECK(out.values() == std::vector<int>(2 * 3 * 4 * 5 * 2 * 3, 1));
  });
}

__global__ void count_votes(const int* votes, int* out) {
  const int vote = votes[threadIdx.x];
  const int count = __syncthreads_count(vote);
  const int any = __syncthreads_or(vote), all = __syncthreads_and(vote);
  out[threadIdx.x] = count * 4 + any * 2 + all;
}

TEST_CASE("emulated barriers count votes") {
  for_each_order([] {
    std::vector<int> votes(40, 0);
    for (const int wanted : {0, 3, 40}) {
      for (int i = 0; i < wanted; ++i) votes[static_cast<size_t>(i)] = 5;
      DeviceArray<int> in(votes), out(40);
      launch("votes", count_votes, 1, 40, 0, in.data(), out.data());
      CHECK(out.values() ==
            std::vector<int>(40, wanted * 4 + (wanted > 0 ? 2 : 0) + (wanted == 40 ? 1 : 0)));
    }
  });
}

}  // namespace
}  // namespace emulation
