// Rows of a table by id, and the gradient of the table.

#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/sort_ids.h"
#include "backend/cuda/visit_data.h"
#include "backend/row_checks.h"

namespace ssa {
namespace cuda {
namespace {

constexpr int kRowsPerBlock = 4;  // one warp each

template <class T>
struct EmbeddedRows {
  const float* table;  ///< (words, columns)
  const int32_t* ids;
  T* out;
  ErrorRecord* record;
  int64_t words, rows;
  int columns;
  float factor;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) embed(EmbeddedRows<T> all) {
  constexpr int kSize = Chunk<T>::kSize;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.y;
  if (row >= all.rows) return;
  const int64_t id = checked_id(all.ids[row], 0, all.words, Lookup::embedding, row, all.record);
  const float* from = all.table + id * all.columns;
  T* to = all.out + row * all.columns;
  for (int c = static_cast<int>(threadIdx.x) * kSize; c < all.columns; c += kWarp * kSize) {
    const auto word = read_floats<kSize>(from, c, all.columns, all.aligned);
    Chunk<T> scaled;
#pragma unroll
    for (int k = 0; k < kSize; ++k) scaled.set(k, all.factor * word[k]);
    write_chunk(to, c, all.columns, all.aligned, scaled);
  }
}

// The gradient. Rows are sorted by id and cut into tiles of 32 sorted rows. One warp sums a tile,
// for 32 chunks of columns. A run of equal ids begins in one tile, whose warp adds its part of the
// run to the table. A tile that continues a run from the tile before writes that part to
// `continued`, and a second kernel adds these parts to the table, in order.

template <class T>
struct SortedRows {
  const T* grad_out;    ///< (rows, columns)
  const int32_t* ids;   ///< ascending
  const int32_t* from;  ///< rows of grad_out
  float* grad_table;    ///< (words, columns)
  float* continued;  ///< (tiles, columns), used if a tile begins with the previous tile's last id
  int64_t rows;
  int columns;
  float factor;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) sum_tiles(SortedRows<T> all) {
  constexpr int kSize = Chunk<T>::kSize;
  constexpr int kAhead = 8;  // rows that are loaded at a time
  const int lane = static_cast<int>(threadIdx.x), columns = all.columns;
  const int64_t tile = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.y, first = tile * kWarp;
  if (first >= all.rows) return;  // a whole warp
  const int count = static_cast<int>(all.rows - first < kWarp ? all.rows - first : kWarp);
  const int32_t my_id = lane < count ? all.ids[first + lane] : -1;
  const int32_t my_row = lane < count ? all.from[first + lane] : 0;
  const int32_t id_before = first > 0 ? all.ids[first - 1] : -1;
  const int c = (static_cast<int>(blockIdx.y) * kWarp + lane) * kSize;

  int32_t run_id = __shfl_sync(kAllLanes, my_id, 0);
  bool continues = run_id == id_before;
  Floats<kSize> sum = {};
  const auto end_run = [&] {
    if (c >= columns) return;
    float* to =
        continues ? all.continued + tile * columns : all.grad_table + int64_t{run_id} * columns;
    if (!continues) {
      const auto before = read_floats<kSize>(to, c, columns, all.aligned);
#pragma unroll
      for (int k = 0; k < kSize; ++k) sum.values[k] += before[k];
    }
    write_floats(to, c, columns, all.aligned, sum);
  };

  for (int i = 0; i < count; i += kAhead) {
    Chunk<T> grads[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int64_t row = __shfl_sync(kAllLanes, my_row, i + k);
      if (i + k < count && c < columns) {
        grads[k] = read_chunk(all.grad_out + row * columns, c, columns, all.aligned);
      }
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int32_t id = __shfl_sync(kAllLanes, my_id, i + k);
      if (id < 0) break;  // past the last row, for all lanes
      if (id != run_id) {
        end_run();
        run_id = id;
        continues = false;
        sum = {};
      }
#pragma unroll
      for (int n = 0; n < kSize; ++n) sum.values[n] += all.factor * grads[k][n];
    }
  }
  end_run();
}

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) add_continued(SortedRows<T> all) {
  const int columns = all.columns;
  const int64_t tiles = (all.rows + kWarp - 1) / kWarp;
  const int64_t first = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.y;
  const auto continues = [&](int64_t tile) {
    return tile > 0 && tile < tiles && all.ids[tile * kWarp] == all.ids[tile * kWarp - 1];
  };
  if (!continues(first)) return;
  const int32_t id = all.ids[first * kWarp];
  if (continues(first - 1) && all.ids[(first - 1) * kWarp] == id)
    return;  // an earlier warp adds this one
  int64_t end = first + 1;
  while (continues(end) && all.ids[end * kWarp] == id) ++end;
  float* to = all.grad_table + int64_t{id} * columns;
  const int c = (static_cast<int>(blockIdx.y) * kWarp + static_cast<int>(threadIdx.x)) * 4;
  if (c >= columns) return;
  Floats<4> sum = {};
#pragma unroll 8
  for (int64_t tile = first; tile < end; ++tile) {
    const auto part = read_floats<4>(all.continued + tile * columns, c, columns, all.aligned);
    for (int k = 0; k < 4; ++k) sum.values[k] += part[k];
  }
  const auto before = read_floats<4>(to, c, columns, all.aligned);
  for (int k = 0; k < 4; ++k) sum.values[k] += before[k];
  write_floats(to, c, columns, all.aligned, sum);
}

dim3 grid_of(int64_t rows, int64_t columns, int64_t columns_per_warp) {
  return dim3(static_cast<unsigned>((rows + kRowsPerBlock - 1) / kRowsPerBlock),
              static_cast<unsigned>((columns + columns_per_warp - 1) / columns_per_warp));
}

}  // namespace
}  // namespace cuda

void CudaBackend::embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) {
  const checks::Op op("embedding", Device::cuda);
  checks::require_embedding(op, {"table", table}, {"out", out});
  const int64_t rows = out.dim(0), columns = table.dim(1);
  checks::require_packed(op, {"ids", ids}, DType::i32, {rows});
  if (out.numel() == 0) return;
  SSA_CHECK(table.dim(0) > 0, "embedding: table is empty");
  cuda::visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::EmbeddedRows<T> all{.table = table.data<float>(),
                              .ids = ids.data<int32_t>(),
                              .out = out.data<T>(),
                              .record = cuda::error_record(),
                              .words = table.dim(0),
                              .rows = rows,
                              .columns = static_cast<int>(columns),
                              .factor = static_cast<float>(factor),
                              .aligned = false};
    all.aligned =
        cuda::rows_are_aligned(all.table, columns) && cuda::rows_are_aligned(all.out, columns);
    cuda::launch("embedding", cuda::embed<T>, cuda::grid_of(rows, 1, 1),
                 dim3(cuda::kWarp, cuda::kRowsPerBlock), 0, all);
  });
}

void CudaBackend::embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                                     Tensor& grad_table) {
  const checks::Op op("embedding_backward", Device::cuda);
  checks::require_embedding(op, {"grad_table", grad_table}, {"grad_out", grad_out});
  const int64_t rows = grad_out.dim(0), columns = grad_table.dim(1), words = grad_table.dim(0);
  checks::require_packed(op, {"ids", ids}, DType::i32, {rows});
  if (grad_out.numel() == 0) return;
  SSA_CHECK(words > 0, "embedding_backward: grad_table is empty");
  const cuda::SortedIds sorted = cuda::sort_ids(ids, words, cuda::Lookup::embedding_backward);
  const int64_t tiles = (rows + cuda::kWarp - 1) / cuda::kWarp;
  Tensor continued =
      Tensor::empty({tiles, columns}, DType::f32, Device::cuda, MemoryCategory::workspace);
  cuda::visit_data(grad_out.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::SortedRows<T> all{.grad_out = grad_out.data<T>(),
                            .ids = sorted.ids.data<int32_t>(),
                            .from = sorted.rows.data<int32_t>(),
                            .grad_table = grad_table.data<float>(),
                            .continued = continued.data<float>(),
                            .rows = rows,
                            .columns = static_cast<int>(columns),
                            .factor = static_cast<float>(factor),
                            .aligned = false};
    all.aligned = cuda::rows_are_aligned(all.grad_out, columns) &&
                  cuda::rows_are_aligned(all.grad_table, columns);
    const dim3 block(cuda::kWarp, cuda::kRowsPerBlock);
    cuda::launch("embedding_backward", cuda::sum_tiles<T>,
                 cuda::grid_of(tiles, columns, int64_t{cuda::kWarp} * cuda::Chunk<T>::kSize), block,
                 0, all);
    cuda::launch("embedding_backward", cuda::add_continued<T>,
                 cuda::grid_of(tiles, columns, int64_t{cuda::kWarp} * 4), block, 0, all);
  });
}

}  // namespace ssa
