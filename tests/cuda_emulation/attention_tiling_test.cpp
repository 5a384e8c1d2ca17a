// Launch shapes of the attention kernels.

#include "backend/cuda/attention_tiling.h"

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

namespace ssa::cuda {
namespace {

constexpr HalfProblem kMany{1024, 1000, kSharedMemoryEverywhere, 100};

TEST_CASE("heads are filled up to the next size that kernels have") {
  CHECK(padded_head_size(1) == 32);
  CHECK(padded_head_size(32) == 32);
  CHECK(padded_head_size(33) == 64);
  CHECK(padded_head_size(80) == 96);
  CHECK(padded_head_size(97) == 128);
  CHECK(padded_head_size(129) == 256);
  CHECK(padded_head_size(256) == 256);
  CHECK_THROWS_AS(padded_head_size(257), ShapeError);
  CHECK(padded_head_size_f32(65) == 128);
  CHECK_THROWS_AS(padded_head_size_f32(300), ShapeError);
}

TEST_CASE("every attention block fits into the shared memory that all devices have") {
  for (const int head : {32, 64, 96, 128, 256}) {
    INFO("heads of " << head);
    for (const bool relative : {false, true}) {
      const AttentionLaunch forward = half_forward_launch(head, relative, kMany);
      CHECK(forward.shared_bytes <= kSharedMemoryEverywhere);
      CHECK(forward.threads == 32 * kMaxWarps);
    }
    for (const bool by_source : {false, true}) {
      const AttentionLaunch gradient = half_gradient_launch(head, by_source, kMany);
      CHECK(gradient.shared_bytes <= kSharedMemoryEverywhere);
      CHECK(gradient.threads == 32 * kMaxWarps);
    }
    if (head == 96) continue;
    CHECK(float_forward_launch(head, 1024).shared_bytes <= kSharedMemoryEverywhere);
    CHECK(float_gradient_launch(head, 1024).shared_bytes <= kSharedMemoryEverywhere);
  }
}

TEST_CASE("attention blocks cover all rows, and no block is idle") {
  for (const int head : {32, 64, 96, 128, 256}) {
    for (int rows = 1; rows < 700; rows += 9) {
      for (const int64_t windows : {1, 50, 5000}) {
        const HalfProblem problem{rows, windows, kSharedMemoryEverywhere, 100};
        const AttentionLaunch shape = half_forward_launch(head, false, problem);
        const int rows_per_block = shape.threads / 32 * 16 * forward_tile(head, false).row_tiles;
        INFO("heads of " << head << ", " << rows << " rows, " << windows << " windows");
        CHECK(shape.row_blocks * rows_per_block >= rows);
        CHECK((shape.row_blocks - 1) * rows_per_block < rows);
      }
    }
  }
}

TEST_CASE("short windows and few windows get blocks of fewer warps") {
  const auto threads = [](int rows, int64_t windows) {
    return half_forward_launch(64, false, {rows, windows, kSharedMemoryEverywhere, 100}).threads;
  };
  CHECK(threads(1024, 1000) == 128);
  CHECK(threads(20, 1000) == 32);
  CHECK(threads(49, 1000) == 64);
  CHECK(threads(129, 1000) == 64);  // 192 rows instead of 256
  CHECK(threads(1024, 20) == 128);  // 160 blocks for 100 multiprocessors
  CHECK(threads(1024, 10) == 64);   // else 80 blocks
  CHECK(threads(1024, 1) == 32);
}

TEST_CASE("less shared memory makes blocks of fewer warps, not of other tiles") {
  HalfProblem problem = kMany;
  const AttentionLaunch all = half_gradient_launch(128, true, problem);
  problem.shared_limit = all.shared_bytes - 1;
  const AttentionLaunch fewer = half_gradient_launch(128, true, problem);
  CHECK(fewer.threads == all.threads / 2);
  CHECK(fewer.shared_bytes < all.shared_bytes);
  CHECK(fewer.row_blocks == 2 * all.row_blocks);
}

}  // namespace
}  // namespace ssa::cuda
