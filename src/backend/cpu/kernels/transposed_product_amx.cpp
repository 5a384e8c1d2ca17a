// leftᵀ · right of bf16 matrices, summed over their rows: gradients of weights, where the rows are
// all positions of a batch. Both are packed in blocks that fit the cache: left transposed, right in
// pairs of rows. The order of each sum depends on `inner` alone.

#include "backend/cpu/kernels/amx_tiles.h"
#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/tile_product.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kDepth = 256;  // rows packed at a time
// Strides of packed left rows and right panels. Powers of two would map to few cache sets.
constexpr int64_t kLeftStride = kDepth + 32;
constexpr int64_t kPanel = kDepth * 16 + 32;

/// `columns` of `depth` rows, as (columns, kLeftStride).
void pack_left(const uint16_t* rows, int64_t stride, int64_t depth, int64_t columns,
               uint16_t* out) {
  for (int64_t k = 0; k < depth; k += 32) {
    for (int64_t c = 0; c < columns; c += 32) {
      Vec first[16],
          second[16];  // words of the first and the last 16 columns, one pair of rows per vector
      for (int64_t pair = 0; pair < 16; ++pair) {
        const uint16_t* row = rows + (k + 2 * pair) * stride + c;
        Halves lower, upper;
        pair_up(load_bits<Halves>(row), load_bits<Halves>(row + stride), lower, upper);
        first[pair] = reinterpret_cast<Vec>(lower);
        second[pair] = reinterpret_cast<Vec>(upper);
      }
      transpose_square(first);
      transpose_square(second);
      for (int64_t column = 0; column < 16; ++column) {
        store_bits(out + (c + column) * kLeftStride + k, first[column]);
        store_bits(out + (c + column + 16) * kLeftStride + k, second[column]);
      }
    }
  }
}

/// `columns` of `depth` rows as panels of 32 columns, each (depth/2, 32) words that hold pairs of
/// rows.
void pack_right(const uint16_t* rows, int64_t stride, int64_t depth, int64_t columns,
                uint32_t* out) {
  for (int64_t k = 0; k < depth; k += 2) {
    const uint16_t* row = rows + k * stride;
    for (int64_t c = 0; c < columns; c += 32) {
      Halves lower, upper;
      pair_up(load_bits<Halves>(row + c), load_bits<Halves>(row + stride + c), lower, upper);
      uint32_t* to = out + c / 32 * kPanel + k * 16;
      store_bits(to, lower);
      store_bits(to + 16, upper);
    }
  }
}

/// The scratch of a block. Sums are consecutive 32×32 squares, since rows of `out` may be far
/// apart.
struct Workspace {
  uint16_t* left;
  uint32_t* right;
  float* sums;
  int64_t bytes;
  Workspace(const TransposedProduct& block, void* scratch) {
    auto* base = static_cast<unsigned char*>(scratch);
    const int64_t left_bytes = block.rows * kLeftStride * 2;
    const int64_t right_bytes = block.columns / 32 * kPanel * 4;
    left = reinterpret_cast<uint16_t*>(base);
    right = reinterpret_cast<uint32_t*>(base + left_bytes);
    sums = reinterpret_cast<float*>(base + left_bytes + right_bytes);
    bytes = left_bytes + right_bytes + block.rows * block.columns * 4;
  }
};

int64_t transposed_product_scratch(const TransposedProduct& block) {
  return Workspace(block, nullptr).bytes;
}

void write_sums(const TransposedProduct& block, const float* sums) {
  for (int64_t r = 0; r < block.rows; ++r) {
    for (int64_t c = 0; c < block.columns; c += kLanes) {
      const float* square = sums + c / 32 * 32 * block.rows + r / 32 * 1024;
      const Vec sum = load(square + r % 32 * 32 + c % 32);
      float* to = block.out + r * block.out_stride + c;
      store(to, block.accumulate ? load(to) + sum : sum);
    }
  }
}

void transposed_product(const TransposedProduct& block, void* scratch) {
  const TileSession tiles;
  const Workspace space(block, scratch);
  const auto* left = reinterpret_cast<const uint16_t*>(block.left);
  const auto* right = reinterpret_cast<const uint16_t*>(block.right);
  for (int64_t k = 0; k < block.inner; k += kDepth) {
    const int64_t depth = block.inner - k < kDepth ? block.inner - k : kDepth;
    pack_left(left + k * block.left_stride, block.left_stride, depth, block.rows, space.left);
    pack_right(right + k * block.right_stride, block.right_stride, depth, block.columns,
               space.right);
    __asm__ volatile("" ::: "memory");  // the compiler does not know that tile loads read memory
    for (int64_t c = 0; c < block.columns; c += 32) {
      for (int64_t r = 0; r < block.rows; r += 32) {
        product_block(depth, {space.left + r * kLeftStride, kLeftStride},
                      {space.right + c / 32 * kPanel, 32},
                      {space.sums + c * block.rows + r * 32, 32, k > 0});
      }
    }
  }
  __asm__ volatile("" ::: "memory");
  write_sums(block, space.sums);
}

}  // namespace

void fill_transposed_product_amx(Kernels& table) {
  table.transposed_product = transposed_product;
  table.transposed_product_scratch = transposed_product_scratch;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
