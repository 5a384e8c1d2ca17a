// The twins of PTX instructions against the layouts in the PTX ISA's tables, computed by hand.

#include "backend/cuda/ptx.h"

#include <array>

#include "emulated.h"

namespace emulation {
namespace {

using namespace ssa;
using cuda::dynamic_shared;
using cuda::launch;

constexpr unsigned kLanes = 32;

// ---- ldmatrix ----------------------------------------------------------------------------------

__global__ void load_matrices(bool transposed, uint32_t* out) {
  // Four matrices side by side, 80 bytes from row to row.
  constexpr unsigned kPitch = 40;
  auto* tile = dynamic_shared<uint16_t>();
  for (unsigned i = threadIdx.x; i < 8 * 32; i += kLanes) {
    const unsigned row = i / 32, matrix = i % 32 / 8, column = i % 8;
    tile[row * kPitch + i % 32] = static_cast<uint16_t>(100 * matrix + 10 * row + column);
  }
  __syncwarp();
  const void* row = tile + threadIdx.x % 8 * kPitch + threadIdx.x / 8 * 8;
  uint32_t registers[4];
  if (transposed) {
    cuda::ldmatrix_x4_transposed(registers, row);
  } else {
    cuda::ldmatrix_x4(registers, row);
  }
  for (int m = 0; m < 4; ++m) out[4 * threadIdx.x + static_cast<unsigned>(m)] = registers[m];
}

uint32_t pair(uint32_t low, uint32_t high) { return low | high << 16; }

TEST_CASE("ldmatrix gives lane 4g + t elements 2t and 2t+1 of row g") {
  for_each_order([] {
    DeviceArray<uint32_t> out(4 * kLanes);
    launch("load", load_matrices, 1, kLanes, 8 * 80, false, out.data());
    const std::vector<uint32_t> got = out.values();
    CHECK(got[0] == pair(0, 1));               // lane 0, matrix 0: row 0
    CHECK(got[4 * 1 + 0] == pair(2, 3));       // lane 1
    CHECK(got[4 * 3 + 1] == pair(106, 107));   // lane 3, matrix 1: the end of row 0
    CHECK(got[4 * 4 + 2] == pair(210, 211));   // lane 4, matrix 2: row 1
    CHECK(got[4 * 22 + 2] == pair(254, 255));  // lane 22 = 4·5 + 2: row 5
    CHECK(got[4 * 31 + 3] == pair(376, 377));  // lane 31, matrix 3: the end of row 7
    launch("load", load_matrices, 1, kLanes, 8 * 80, true, out.data());
    const std::vector<uint32_t> turned = out.values();
    CHECK(turned[0] == pair(0, 10));              // lane 0, matrix 0: column 0
    CHECK(turned[4 * 1 + 0] == pair(20, 30));     // lane 1
    CHECK(turned[4 * 4 + 2] == pair(201, 211));   // lane 4, matrix 2: column 1
    CHECK(turned[4 * 22 + 2] == pair(245, 255));  // lane 22: column 5, rows 4 and 5
    CHECK(turned[4 * 31 + 3] == pair(367, 377));
  });
}

// ---- mma ---------------------------------------------------------------------------------------

/// Fills the registers by the ISA's formulas for a0 … a7, b0 … b3 and c0 … c3, with
/// A[i][k] = 3i + k - 20, B[k][j] = 2k - 5j, C[i][j] = 1000i + j: exact in either type.
template <class T>
__global__ void multiply_once(float* out) {
  const int group = static_cast<int>(threadIdx.x) >> 2,
            in_group = static_cast<int>(threadIdx.x) % 4;
  const auto number = [](int value) { return cuda::from_float<T>(static_cast<float>(value)).bits; };
  uint32_t a[4], b[2];
  for (int i = 0; i < 8; ++i) {
    const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
    const uint32_t bits = number(3 * row + column - 20);
    a[i / 2] = i % 2 == 0 ? bits : a[i / 2] | bits << 16;
  }
  for (int i = 0; i < 4; ++i) {
    const int row = in_group * 2 + (i & 1) + (i < 2 ? 0 : 8);
    const uint32_t bits = number(2 * row - 5 * group);
    b[i / 2] = i % 2 == 0 ? bits : b[i / 2] | bits << 16;
  }
  const auto place = [&](int i) {
    return std::array{i < 2 ? group : group + 8, in_group * 2 + (i & 1)};
  };
  float c[4];
  for (int i = 0; i < 4; ++i) c[i] = static_cast<float>(1000 * place(i)[0] + place(i)[1]);
  cuda::mma_16x8x16<T>(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) out[8 * place(i)[0] + place(i)[1]] = c[i];
}

TEMPLATE_TEST_CASE("mma multiplies fragments as the ISA lays them out", "", BFloat16, Float16) {
  for_each_order([] {
    DeviceArray<float> out(16 * 8);
    launch("mma", multiply_once<TestType>, 1, kLanes, 0, out.data());
    const std::vector<float> got = out.values();
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        int sum = 1000 * i + j;
        for (int k = 0; k < 16; ++k) sum += (3 * i + k - 20) * (2 * k - 5 * j);
        INFO("row " << i << " column " << j);
        CHECK(got[static_cast<size_t>(8 * i + j)] == static_cast<float>(sum));
      }
    }
  });
}

// ---- copies and numbers ------------------------------------------------------------------------

__global__ void copy_pieces(const uint32_t* in, uint32_t* out) {
  auto* shared = dynamic_shared<uint32_t>();
  for (unsigned i = threadIdx.x; i < 4 * kLanes; i += kLanes) shared[i] = 7;
  __syncwarp();
  const unsigned lane = threadIdx.x;
  if (lane < 16) {
    cuda::cp_async_16(shared + 4 * lane, in + 4 * lane, lane % 2 == 0);
  } else if (lane < 24) {
    cuda::cp_async_small<8>(shared + 4 * lane, in + 4 * lane);
  } else {
    cuda::cp_async_small<4>(shared + 4 * lane, in + 4 * lane);
  }
  cuda::cp_async_wait_all();
  __syncthreads();
  for (unsigned i = threadIdx.x; i < 4 * kLanes; i += kLanes) out[i] = shared[i];
}

TEST_CASE("cp.async copies 16, 8 or 4 bytes, or zeros") {
  std::vector<uint32_t> values(4 * kLanes);
  for (uint32_t i = 0; i < values.size(); ++i) values[i] = 100 + i;
  DeviceArray<uint32_t> in(values), out(values.size());
  for_each_order([&] {
    launch("copy", copy_pieces, 1, kLanes, 16 * kLanes, in.data(), out.data());
    const std::vector<uint32_t> got = out.values();
    for (uint32_t i = 0; i < values.size(); ++i) {
      const uint32_t lane = i / 4, copied = lane < 16 ? 4 : lane < 24 ? 2 : 1;
      const bool zero = lane < 16 && lane % 2 == 1;
      INFO("number " << i);
      CHECK(got[i] == (zero ? 0 : i % 4 < copied ? 100 + i : 7));
    }
  });
}

/// Reads the copied data without waiting for the copy.
__global__ void copy_in_haste(const uint32_t* in, uint32_t* out) {
  auto* shared = dynamic_shared<uint32_t>();
  shared[threadIdx.x] = 7;
  cuda::cp_async_small<4>(shared + threadIdx.x, in + threadIdx.x);
  out[threadIdx.x] = shared[threadIdx.x];
}

TEST_CASE("emulated cp.async may be late: without a wait the order decides") {
  DeviceArray<uint32_t> in(std::vector<uint32_t>(kLanes, 100)), out(kLanes);
  std::vector<uint32_t> seen;
  for_each_order([&] {
    launch("copy", copy_in_haste, 1, kLanes, 4 * kLanes, in.data(), out.data());
    seen.push_back(out.values()[0]);
  });
  CHECK(seen == std::vector<uint32_t>{100, 7});
}

template <class T>
__global__ void round_pairs(const float* in, uint32_t* out) {
  const float x = in[threadIdx.x];
  out[threadIdx.x] = cuda::pack<T>(x, -2 * x);
  out[kLanes + threadIdx.x] = std::bit_cast<uint32_t>(cuda::exp2_approx(x));
}

TEMPLATE_TEST_CASE("pairs are rounded to nearest, the first into the lower half", "", BFloat16,
                   Float16) {
  std::vector<float> values(kLanes);
  for (size_t i = 0; i < kLanes; ++i) values[i] = 0.731f * static_cast<float>(i) - 9.0f;
  values[3] = -INFINITY;
  values[4] = 1.0f + 0x1p-8f;   // between two bf16: to even
  values[5] = 1.0f + 0x1p-11f;  // between two f16
  DeviceArray<float> in(values);
  DeviceArray<uint32_t> out(2 * kLanes);
  launch("round", round_pairs<TestType>, 1, kLanes, 0, in.data(), out.data());
  const std::vector<uint32_t> got = out.values();
  for (size_t i = 0; i < kLanes; ++i) {
    CHECK(got[i] == pair(TestType(values[i]).bits, TestType(-2 * values[i]).bits));
    CHECK(std::bit_cast<float>(got[kLanes + i]) ==
          Approx(std::exp2(static_cast<double>(values[i]))).epsilon(1e-6));
  }
}

}  // namespace
}  // namespace emulation
