// Gathered rows, and their gradient. Memory-bound: one warp per row, which moves 16 bytes per lane
// if rows are aligned.

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/visit_data.h"

namespace ssa {
namespace cuda {
namespace {

constexpr int kRowsPerBlock = 4;

/// `all` (batch, length, width) and `some` (batch, picked, width): row s of `some` is row rows[s]
/// of `all`.
template <class T>
struct Gathering {
  T* all;
  T* some;
  const int32_t* rows;
  ErrorRecord* record;
  int64_t batch, length, picked;
  int width;
  bool aligned;
};

/// Calls f(the row of `all`, the row of `some`, column) for this lane's chunks.
template <class T, class F>
__device__ void for_picked_chunks(const Gathering<T>& task, Lookup primitive, const F& f) {
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.y;
  if (row >= task.batch * task.picked) return;
  const int64_t b = row / task.picked, s = row - b * task.picked;
  const int64_t from = checked_id(task.rows[s], 0, task.length, primitive, s, task.record);
  T* in_all = task.all + (b * task.length + from) * task.width;
  T* in_some = task.some + row * task.width;
  constexpr int kSize = Chunk<T>::kSize;
  for (int c = static_cast<int>(threadIdx.x) * kSize; c < task.width; c += kWarp * kSize) {
    f(in_all, in_some, c);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) gather(Gathering<T> task) {
  for_picked_chunks(task, Lookup::gather_rows, [&](const T* in_all, T* in_some, int c) {
    write_chunk(in_some, c, task.width, task.aligned,
                read_chunk(in_all, c, task.width, task.aligned));
  });
}

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) add_gathered(Gathering<T> task) {
  for_picked_chunks(task, Lookup::gather_rows_backward, [&](T* in_all, const T* in_some, int c) {
    Chunk<T> sum = read_chunk(in_all, c, task.width, task.aligned);
    const Chunk<T> more = read_chunk(in_some, c, task.width, task.aligned);
#pragma unroll
    for (int k = 0; k < Chunk<T>::kSize; ++k) sum.set(k, sum[k] + more[k]);
    write_chunk(in_all, c, task.width, task.aligned, sum);
  });
}

void require_gathering(const checks::Op& op, const checks::Named& all, const checks::Named& some,
                       const Tensor& rows) {
  checks::require_rank(op, all, 3);
  checks::require_rank(op, {"rows", rows}, 1);
  checks::require_data(op, {all});
  const Shape& shape = all.tensor.shape();
  checks::require_packed(op, some, all.tensor.dtype(), {shape[0], rows.dim(0), shape[2]});
  checks::require_packed(op, {"rows", rows}, DType::i32, {rows.dim(0)});
  SSA_CHECK(shape[1] > 0 || rows.dim(0) == 0, "{}: {} has no rows", op.name, all.name);
}

template <class T>
void launch_gathering(const checks::Op& op, void (*kernel)(Gathering<T>), const Tensor& all,
                      const Tensor& some, const Tensor& rows) {
  Tensor whole = all, part = some;
  T *in_all = whole.data<T>(), *in_some = part.data<T>();
  const int64_t width = all.dim(2), count = all.dim(0) * rows.dim(0);
  const Gathering<T> task{
      .all = in_all,
      .some = in_some,
      .rows = rows.data<int32_t>(),
      .record = error_record(),
      .batch = all.dim(0),
      .length = all.dim(1),
      .picked = rows.dim(0),
      .width = static_cast<int>(width),
      .aligned = rows_are_aligned(in_all, width) && rows_are_aligned(in_some, width)};
  launch(op.name, kernel, dim3(static_cast<unsigned>((count + kRowsPerBlock - 1) / kRowsPerBlock)),
         dim3(kWarp, kRowsPerBlock), 0, task);
}

}  // namespace
}  // namespace cuda

void CudaBackend::gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) {
  const checks::Op op("gather_rows", Device::cuda);
  cuda::require_gathering(op, {"in", in}, {"out", out}, rows);
  if (out.numel() == 0) return;
  cuda::visit_data(in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::launch_gathering(op, cuda::gather<T>, in, out, rows);
  });
}

void CudaBackend::gather_rows_backward(const Tensor& rows, const Tensor& grad_out,
                                       Tensor& grad_in) {
  const checks::Op op("gather_rows_backward", Device::cuda);
  cuda::require_gathering(op, {"grad_in", grad_in}, {"grad_out", grad_out}, rows);
  if (grad_out.numel() == 0) return;
  cuda::visit_data(grad_in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::launch_gathering(op, cuda::add_gathered<T>, grad_in, grad_out, rows);
  });
}

}  // namespace ssa
