// Patches of pictures, and means over positions.

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/visit_data.h"
#include "backend/picture_checks.h"

namespace ssa {
namespace cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kMostChannels = 8;  // their constants are kernel arguments

struct Pictures {
  int width, channels, side;
  int across;                  ///< patches per row of patches
  float scale[kMostChannels];  ///< out = scale·in + offset
  float offset[kMostChannels];
};

/// One thread per element of out.
template <class In, class Out>
__global__ void __launch_bounds__(kThreads)
    cut_patches(const In* in, Out* out, int64_t size, Pictures pictures) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= size) return;
  const int area = pictures.side * pictures.side;
  const int64_t patch = i / (pictures.channels * area);
  const int place = static_cast<int>(i - patch * pictures.channels * area);
  const int c = place / area, y = place % area / pictures.side, x = place % pictures.side;
  // Pictures follow each other in memory, and so do their rows of patches.
  const int64_t row = patch / pictures.across * pictures.side + y;
  const int64_t column = patch % pictures.across * pictures.side + x;
  const In pixel = in[(row * pictures.width + column) * pictures.channels + c];
  out[i] = from_float<Out>(pictures.scale[c] * static_cast<float>(pixel) + pictures.offset[c]);
}

Pictures describe(const PatchArgs& args) {
  Pictures result{.width = static_cast<int>(args.in.dim(2)),
                  .channels = static_cast<int>(args.in.dim(3)),
                  .side = static_cast<int>(args.side),
                  .across = static_cast<int>(args.in.dim(2) / args.side),
                  .scale = {},
                  .offset = {}};
  const double factor = args.in.dtype() == DType::u8 ? 1.0 / 255.0 : 1.0;
  for (size_t c = 0; c < args.mean.size(); ++c) {
    result.scale[c] = static_cast<float>(factor / args.deviation[c]);
    result.offset[c] = static_cast<float>(-args.mean[c] / args.deviation[c]);
  }
  return result;
}

/// (examples, positions, width)
struct Positions {
  int64_t examples, positions, width;
};

constexpr int kWarps = 8;

/// Means of T, summed in f32. A lane has a column of an example, a warp every kWarps-th position;
/// shared memory combines the warps' sums. Grid: column tiles, examples.
template <class T>
__global__ void __launch_bounds__(kWarp* kWarps) average(const T* in, T* out, Positions extent) {
  __shared__ float sums[kWarps][kWarp];
  const int64_t column = int64_t{blockIdx.x} * kWarp + threadIdx.x;
  float sum = 0.0f;
  if (column < extent.width) {
    const T* from = in + int64_t{blockIdx.y} * extent.positions * extent.width + column;
    for (int64_t n = threadIdx.y; n < extent.positions; n += kWarps) {
      sum += to_float(from[n * extent.width]);
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= extent.width) return;
  float total = 0.0f;
  for (int warp = 0; warp < kWarps; ++warp) total += sums[warp][threadIdx.x];
  out[int64_t{blockIdx.y} * extent.width + column] =
      from_float<T>(total / static_cast<float>(extent.positions));
}

/// One warp per position. Grid: column tiles of chunks, positions of all examples.
template <class T>
__global__ void __launch_bounds__(kWarp* kWarps)
    spread(const T* grad_out, T* grad_in, Positions extent, bool aligned) {
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (row >= extent.examples * extent.positions) return;
  constexpr int kSize = Chunk<T>::kSize;
  const T* from = grad_out + row / extent.positions * extent.width;
  T* to = grad_in + row * extent.width;
  const float factor = 1.0f / static_cast<float>(extent.positions);
  for (int64_t c = threadIdx.x * kSize; c < extent.width; c += kWarp * kSize) {
    Chunk<T> grad = read_chunk(from, c, extent.width, aligned);
#pragma unroll
    for (int k = 0; k < kSize; ++k) grad.set(k, factor * grad[k]);
    write_chunk(to, c, extent.width, aligned, grad);
  }
}

unsigned blocks_of(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace
}  // namespace cuda

void CudaBackend::patches(const PatchArgs& args) {
  const checks::Op op("patches", Device::cuda);
  checks::require_patches(op, args);
  SSA_CHECK(args.in.dim(3) <= cuda::kMostChannels,
            "patches: pictures of {} channels; the cuda backend takes up to {}", args.in.dim(3),
            cuda::kMostChannels);
  Tensor out = args.out;
  const int64_t size = out.numel();
  if (size == 0) return;
  const auto cut = [&]<class In, class Out>(TypeTag<In>, TypeTag<Out>) {
    cuda::launch(op.name, cuda::cut_patches<In, Out>, dim3(cuda::blocks_of(size, cuda::kThreads)),
                 dim3(cuda::kThreads), 0, args.in.data<In>(), out.data<Out>(), size,
                 cuda::describe(args));
  };
  cuda::visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    if (args.in.dtype() == DType::u8) {
      cut(TypeTag<uint8_t>{}, TypeTag<T>{});
    } else {
      cut(TypeTag<float>{}, TypeTag<T>{});
    }
  });
}

void CudaBackend::mean_positions(const Tensor& in, Tensor& out) {
  const checks::Op op("mean_positions", Device::cuda);
  checks::require_means(op, {"in", in}, {"out", out});
  if (out.numel() == 0) return;
  const cuda::Positions extent{in.dim(0), in.dim(1), in.dim(2)};
  constexpr int64_t kMostExamples = 65535;  // of the grid's second axis
  SSA_CHECK(extent.examples <= kMostExamples, "mean_positions: {} examples; a grid has at most {}",
            extent.examples, kMostExamples);
  cuda::visit_data(in.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::launch(
        op.name, cuda::average<T>,
        dim3(cuda::blocks_of(extent.width, cuda::kWarp), static_cast<unsigned>(extent.examples)),
        dim3(cuda::kWarp, cuda::kWarps), 0, in.data<T>(), out.data<T>(), extent);
  });
}

void CudaBackend::mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) {
  const checks::Op op("mean_positions_backward", Device::cuda);
  checks::require_means(op, {"grad_in", grad_in}, {"grad_out", grad_out});
  if (grad_in.numel() == 0) return;
  const cuda::Positions extent{grad_in.dim(0), grad_in.dim(1), grad_in.dim(2)};
  cuda::visit_data(grad_in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* from = grad_out.data<T>();
    T* to = grad_in.data<T>();
    const bool aligned =
        cuda::rows_are_aligned(from, extent.width) && cuda::rows_are_aligned(to, extent.width);
    cuda::launch(op.name, cuda::spread<T>,
                 dim3(cuda::blocks_of(extent.examples * extent.positions, cuda::kWarps)),
                 dim3(cuda::kWarp, cuda::kWarps), 0, from, to, extent, aligned);
  });
}

}  // namespace ssa
