// Layer norm and its gradients. A row of up to 4096 columns is read once and stays in registers.
// Wider rows are read again in each pass.

#include "backend/cuda/column_sum.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/row_groups.cuh"
#include "backend/cuda/visit_data.h"
#include "backend/row_checks.h"

namespace ssa {
namespace cuda {
namespace {

/// Pointers to (rows, columns) data, (columns) parameters, (rows) statistics.
template <class T>
struct ForwardRows {
  const T* in;
  const float* gain;
  const float* shift;
  T* out;
  float* mean;
  float* rstd;
  float eps;
  int64_t rows;
  int columns;
  bool aligned;
};

template <class T, int kThreads, int kChunks>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    layer_norm_forward(ForwardRows<T> all) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize;
  const int64_t row = Group::number();
  if (row >= all.rows) return;  // for whole warps, where a block has several rows
  const int columns = all.columns;
  const T* in = all.in + row * columns;
  T* out = all.out + row * columns;
  const auto width = static_cast<float>(columns);
  Chunk<T> kept[kChunks > 0 ? kChunks : 1];
  const auto read = [&](int i, int c) { kept[i] = read_chunk(in, c, columns, all.aligned); };

  float total = 0.0f;
  for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
    read(i, c);
#pragma unroll
    for (int k = 0; k < kSize; ++k) total += kept[i][k];
  });
  const float mu = Group::sum(total) / width;

  float squares = 0.0f;
  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int c) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const float centred = kept[i][k] - mu;
      squares += c + k < columns ? centred * centred : 0.0f;
    }
  });
  const float inverse = 1.0f / sqrtf(Group::sum(squares) / width + all.eps);

  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int c) {
    const auto gain = read_floats<kSize>(all.gain, c, columns, all.aligned);
    const auto shift = read_floats<kSize>(all.shift, c, columns, all.aligned);
    Chunk<T> normed;
#pragma unroll
    for (int k = 0; k < kSize; ++k) normed.set(k, (kept[i][k] - mu) * inverse * gain[k] + shift[k]);
    write_chunk(out, c, columns, all.aligned, normed);
  });
  if (Group::thread() == 0) {
    all.mean[row] = mu;
    all.rstd[row] = inverse;
  }
}

template <class T>
struct BackwardRows {
  const T* in;
  const float* gain;
  const float* shift;
  const float* mean;
  const float* rstd;
  const T* grad_out;
  T* grad_in;
  T* out;          ///< or null; may be grad_out
  float* partial;  ///< (blocks, 2, columns): a block's sums for the gradients of gain and shift
  int64_t rows;
  int64_t rows_per_block;
  int columns;
  bool accumulate;
  bool aligned;
};

/// A thread's sums for gain and shift. They are in registers if it has few columns, else in the
/// block's part of `partial`, where each column belongs to one thread.
template <class T, int kThreads, int kChunks>
struct ParameterSums {
  static constexpr int kSize = Chunk<T>::kSize;
  Floats<kSize> gain[kChunks], shift[kChunks];

  __device__ ParameterSums(float*, const BackwardRows<T>&) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) gain[i] = shift[i] = {};
  }
  __device__ void add(int i, int, const Floats<kSize>& to_gain, const Floats<kSize>& to_shift) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      gain[i].values[k] += to_gain[k];
      shift[i].values[k] += to_shift[k];
    }
  }
  __device__ void write(float* to, const BackwardRows<T>& all) const {
    const int columns = all.columns;
    for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
      write_floats(to, c, columns, all.aligned, gain[i]);
      write_floats(to + columns, c, columns, all.aligned, shift[i]);
    });
  }
  /// Adds the sums to `to`.
  __device__ void add_to(float* to, int columns) const {
    for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        if (c + k >= columns) break;
        to[c + k] += gain[i][k];
        to[columns + c + k] += shift[i][k];
      }
    });
  }
};

template <class T, int kThreads>
struct ParameterSums<T, kThreads, 0> {
  static constexpr int kSize = Chunk<T>::kSize;
  float* sums;
  int columns;
  bool aligned;

  __device__ ParameterSums(float* block_sums, const BackwardRows<T>& all)
      : sums(block_sums), columns(all.columns), aligned(all.aligned) {
    for_my_chunks<T, kThreads, 0>(columns, [&](int, int c) {
      write_floats(sums, c, columns, aligned, Floats<kSize>{});
      write_floats(sums + columns, c, columns, aligned, Floats<kSize>{});
    });
  }
  __device__ void add(int, int c, const Floats<kSize>& to_gain, const Floats<kSize>& to_shift) {
    auto gain = read_floats<kSize>(sums, c, columns, aligned);
    auto shift = read_floats<kSize>(sums + columns, c, columns, aligned);
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      gain.values[k] += to_gain[k];
      shift.values[k] += to_shift[k];
    }
    write_floats(sums, c, columns, aligned, gain);
    write_floats(sums + columns, c, columns, aligned, shift);
  }
  __device__ void write(float*, const BackwardRows<T>&) const {}
};

/// The gradients of one row. With x̂ = (x - mean)·rstd and g = grad_out·gain:
///   grad_in = rstd · (g - mean(g) - x̂ · mean(g·x̂))
template <class T, int kThreads, int kChunks>
__device__ void row_backward(const BackwardRows<T>& all, int64_t row,
                             ParameterSums<T, kThreads, kChunks>& sums) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize;
  const int columns = all.columns;
  const int64_t begin = row * columns;
  const float mu = all.mean[row], inverse = all.rstd[row];
  Chunk<T> x[kChunks > 0 ? kChunks : 1], dy[kChunks > 0 ? kChunks : 1];
  const auto read = [&](int i, int c) {
    x[i] = read_chunk(all.in + begin, c, columns, all.aligned);
    dy[i] = read_chunk(all.grad_out + begin, c, columns, all.aligned);
  };

  for_my_chunks<T, kThreads, kChunks>(columns, read);
  float sum_g = 0.0f, sum_gx = 0.0f;  // grad_out is 0 beyond the last column
  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int c) {
    const auto gain = read_floats<kSize>(all.gain, c, columns, all.aligned);
    Floats<kSize> to_gain, to_shift;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const float normed = (x[i][k] - mu) * inverse, grad = dy[i][k], g = grad * gain[k];
      sum_g += g;
      sum_gx += g * normed;
      to_gain.values[k] = grad * normed;
      to_shift.values[k] = grad;
    }
    sums.add(i, c, to_gain, to_shift);
  });
  const auto width = static_cast<float>(columns);
  const float mean_g = Group::sum(sum_g) / width, mean_gx = Group::sum(sum_gx) / width;

  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int c) {
    const auto gain = read_floats<kSize>(all.gain, c, columns, all.aligned);
    Chunk<T> before = {}, grad;
    if (all.accumulate) before = read_chunk(all.grad_in + begin, c, columns, all.aligned);
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const float normed = (x[i][k] - mu) * inverse;
      const float value = inverse * (dy[i][k] * gain[k] - mean_g - normed * mean_gx);
      grad.set(k, all.accumulate ? before[k] + value : value);
    }
    write_chunk(all.grad_in + begin, c, columns, all.aligned, grad);
    if (!all.out) return;
    const auto shift = read_floats<kSize>(all.shift, c, columns, all.aligned);
    Chunk<T> again;
#pragma unroll
    for (int k = 0; k < kSize; ++k) again.set(k, (x[i][k] - mu) * inverse * gain[k] + shift[k]);
    write_chunk(all.out + begin, c, columns, all.aligned, again);
  });
}

// One block per rows_per_block rows; its groups take turns.
template <class T, int kThreads, int kChunks>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    layer_norm_backward_rows(BackwardRows<T> all) {
  using Group = RowGroup<kThreads>;
  const int64_t first = int64_t{blockIdx.x} * all.rows_per_block;
  const int64_t end = first + all.rows_per_block < all.rows ? first + all.rows_per_block : all.rows;
  float* block_sums = all.partial + int64_t{blockIdx.x} * 2 * all.columns;
  ParameterSums<T, kThreads, kChunks> sums(block_sums, all);
  for (int64_t row = first + Group::in_block(); row < end; row += Group::kGroups) {
    row_backward<T, kThreads, kChunks>(all, row, sums);
  }
  if constexpr (!Group::kIsWarp) {
    sums.write(block_sums, all);
  } else {  // shared memory adds up the warps' sums, one warp after the other
    float* shared = dynamic_shared<float>();
    for (int i = static_cast<int>(threadIdx.x); i < 2 * all.columns; i += Group::kBlock) {
      shared[i] = 0.0f;
    }
    for (int warp = 0; warp < Group::kGroups; ++warp) {
      __syncthreads();
      if (warp == Group::in_block()) sums.add_to(shared, all.columns);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 2 * all.columns; i += Group::kBlock) {
      block_sums[i] = shared[i];
    }
  }
}

/// Rows per block, by the shape alone: about as many blocks as a large device runs at a time.
int64_t rows_per_block(int64_t rows) {
  constexpr int64_t kMostBlocks = 512, kAtATime = 4;
  const int64_t each = (rows + kMostBlocks - 1) / kMostBlocks;
  return (each + kAtATime - 1) / kAtATime * kAtATime;
}

template <class... Pointers>
bool all_aligned(int64_t columns, const Pointers*... pointers) {
  return (rows_are_aligned(pointers, columns) && ...);
}

}  // namespace
}  // namespace cuda

void CudaBackend::layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                             Tensor& out, Tensor& mean, Tensor& rstd) {
  const checks::Op op("layer_norm", Device::cuda);
  checks::require_layer_norm(op, in, gain, shift, out, mean, rstd);
  const int64_t rows = in.dim(0), columns = in.dim(1);
  if (rows == 0) return;
  cuda::visit_data(in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::ForwardRows<T> all{.in = in.data<T>(),
                             .gain = gain.data<float>(),
                             .shift = shift.data<float>(),
                             .out = out.data<T>(),
                             .mean = mean.data<float>(),
                             .rstd = rstd.data<float>(),
                             .eps = static_cast<float>(eps),
                             .rows = rows,
                             .columns = static_cast<int>(columns),
                             .aligned = false};
    all.aligned = cuda::all_aligned(columns, all.in, all.out) && cuda::is_aligned(all.gain) &&
                  cuda::is_aligned(all.shift);
    cuda::visit_width<T>(columns, [&](auto threads, auto chunks) {
      cuda::launch_rows<threads()>(op.name, cuda::layer_norm_forward<T, threads(), chunks()>, rows,
                                   all);
    });
  });
}

void CudaBackend::layer_norm_backward(const LayerNormBackwardArgs& args) {
  const checks::Op op("layer_norm_backward", Device::cuda);
  checks::require_layer_norm_gradients(op, args);
  const int64_t rows = args.in.dim(0), columns = args.in.dim(1);
  if (rows == 0) return;
  const int64_t part = cuda::rows_per_block(rows), parts = (rows + part - 1) / part;
  Tensor partial =
      Tensor::empty({parts, 2, columns}, DType::f32, Device::cuda, MemoryCategory::workspace);
  Tensor grad_in = args.grad_in, out = args.out;
  cuda::visit_data(args.in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::BackwardRows<T> all{.in = args.in.data<T>(),
                              .gain = args.gain.data<float>(),
                              .shift = out.defined() ? args.shift.data<float>() : nullptr,
                              .mean = args.mean.data<float>(),
                              .rstd = args.rstd.data<float>(),
                              .grad_out = args.grad_out.data<T>(),
                              .grad_in = grad_in.data<T>(),
                              .out = out.defined() ? out.data<T>() : nullptr,
                              .partial = partial.data<float>(),
                              .rows = rows,
                              .rows_per_block = part,
                              .columns = static_cast<int>(columns),
                              .accumulate = args.accumulate,
                              .aligned = false};
    all.aligned = cuda::all_aligned(columns, all.in, all.grad_out, all.grad_in, all.out) &&
                  cuda::is_aligned(all.gain) && cuda::is_aligned(all.shift);
    cuda::visit_width<T>(columns, [&](auto threads, auto chunks) {
      using Group = cuda::RowGroup<threads()>;
      const size_t shared = Group::kIsWarp ? 2 * static_cast<size_t>(columns) * sizeof(float) : 0;
      cuda::launch("layer_norm_backward", cuda::layer_norm_backward_rows<T, threads(), chunks()>,
                   dim3(static_cast<unsigned>(parts)), dim3(Group::kBlock), shared, all);
    });
  });
  Tensor grad_gain = args.grad_gain, grad_shift = args.grad_shift;
  float* const sums[] = {grad_gain.data<float>(), grad_shift.data<float>()};
  cuda::add_partial_sums(partial.data<float>(), parts, 2, columns, true, sums);
}

}  // namespace ssa
