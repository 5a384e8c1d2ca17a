// Sums over the rows of a matrix, in two passes: blocks sum parts of the rows, then the parts' sums
// are added up. The parts depend on the shape alone.

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/column_sum.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/visit_data.h"

namespace ssa {
namespace cuda {
namespace {

/// Rows of T, `stride` elements apart. Array k begins k·columns after the first.
template <class T>
struct Summands {
  const T* rows;
  int64_t stride;
  int64_t count;
  int64_t rows_per_part;
  int64_t columns;
  bool aligned;
};

/// Sums of array k and part p begin at to[k] + p·columns.
struct Sums {
  float* to[2];
  bool add;
};

// A lane owns a chunk of columns, a warp every blockDim.y-th row of the block's part. Shared memory
// combines the warps' sums. Grid: column tiles, parts, arrays.
template <class T>
__global__ void __launch_bounds__(1024) sum_rows(Summands<T> in, Sums out) {
  constexpr int kSize = Chunk<T>::kSize, kTile = kWarp * kSize;
  float* shared = dynamic_shared<float>();  // (warps, kTile)
  const int64_t tile = int64_t{blockIdx.x} * kTile;
  const int64_t c = tile + threadIdx.x * kSize;
  const int64_t first = int64_t{blockIdx.y} * in.rows_per_part;
  const int64_t end = first + in.rows_per_part < in.count ? first + in.rows_per_part : in.count;
  const T* rows = in.rows + int64_t{blockIdx.z} * in.columns;
  float sums[kSize] = {};
  if (c < in.columns) {
#pragma unroll 4
    for (int64_t r = first + threadIdx.y; r < end; r += blockDim.y) {
      const Chunk<T> x = read_chunk(rows + r * in.stride, c, in.columns, in.aligned);
#pragma unroll
      for (int k = 0; k < kSize; ++k) sums[k] += x[k];
    }
  }
  float* mine = shared + threadIdx.y * kTile + threadIdx.x * kSize;
#pragma unroll
  for (int k = 0; k < kSize; ++k) mine[k] = sums[k];
  __syncthreads();
  const int column = static_cast<int>(threadIdx.y * kWarp + threadIdx.x);
  if (column >= kTile || tile + column >= in.columns) return;
  float total = 0.0f;
  for (unsigned warp = 0; warp < blockDim.y; ++warp) total += shared[warp * kTile + column];
  float* to = blockIdx.z == 0 ? out.to[0] : out.to[1];
  to += int64_t{blockIdx.y} * in.columns + tile + column;
  *to = out.add ? *to + total : total;
}

/// Warps per block: at least as many as a chunk has elements, for the last additions.
constexpr unsigned kWarpsForRows = 8, kWarpsForParts = 32;

template <class T>
void launch_sum(const Summands<T>& in, const Sums& out, int64_t parts, int arrays, unsigned warps) {
  constexpr int64_t kTile = int64_t{kWarp} * Chunk<T>::kSize;
  const dim3 grid(static_cast<unsigned>((in.columns + kTile - 1) / kTile),
                  static_cast<unsigned>(parts), static_cast<unsigned>(arrays));
  launch("column_sum", sum_rows<T>, grid, dim3(kWarp, warps),
         static_cast<size_t>(kTile) * warps * sizeof(float), in, out);
}

/// Rows per part: at least 64, and enough that there are about a thousand blocks.
int64_t rows_per_part(int64_t rows, int64_t columns, int64_t tile) {
  const int64_t tiles = (columns + tile - 1) / tile;
  const int64_t most_parts = std::clamp<int64_t>(1024 / tiles, 1, 512);
  return std::max<int64_t>(64, (rows + most_parts - 1) / most_parts);
}

template <class T>
void sum_columns(const T* in, int64_t stride, int64_t rows, int64_t columns, bool add, float* out) {
  const int64_t part = rows_per_part(rows, columns, int64_t{kWarp} * Chunk<T>::kSize);
  const int64_t parts = (rows + part - 1) / part;
  const Summands<T> summands{in, stride, rows, part, columns, rows_are_aligned(in, stride)};
  if (parts <= 1) return launch_sum(summands, {{out}, add}, 1, 1, kWarpsForRows);
  Tensor partial =
      Tensor::empty({parts, columns}, DType::f32, Device::cuda, MemoryCategory::workspace);
  launch_sum(summands, {{partial.data<float>()}, false}, parts, 1, kWarpsForRows);
  add_partial_sums(partial.data<float>(), parts, 1, columns, add, &out);
}

}  // namespace

void add_partial_sums(const float* partial, int64_t parts, int arrays, int64_t columns, bool add,
                      float* const* to) {
  if (columns == 0) return;
  Sums sums{{to[0], to[arrays - 1]}, add};
  const int64_t stride = arrays * columns;
  launch_sum<float>({partial, stride, parts, parts, columns, rows_are_aligned(partial, columns)},
                    sums, 1, arrays, kWarpsForParts);
}

}  // namespace cuda

void CudaBackend::column_sum(const Tensor& in, Tensor& out, bool accumulate) {
  const checks::Op op("column_sum", Device::cuda);
  checks::require_rank(op, {"in", in}, 2);
  checks::require_data_dtype(op, {"in", in});
  checks::require_rows(op, {"in", in}, in.dtype(), in.shape());
  checks::require_packed(op, {"out", out}, DType::f32, {in.dim(1)});
  if (in.dim(1) == 0) return;
  cuda::visit_data(in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::sum_columns(in.data<T>(), checks::row_stride(in), in.dim(0), in.dim(1), accumulate,
                      out.data<float>());
  });
}

}  // namespace ssa
