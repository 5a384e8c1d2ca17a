// Parameter updates. A launch updates as many tensors as fit into its arguments. Adam reads 16
// bytes per element and writes 12; SGD reads 12 (without momentum 8) and writes 8 (4).

#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/tensor_list.cuh"
#include "backend/optimizer_checks.h"

namespace ssa {
namespace cuda {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kPart = 4096;  ///< elements per block

struct AdamUpdate {
  float* parameter;
  const float* gradient;
  float* first_moment;
  float* second_moment;
  int64_t count;
  AdamConstants constants;
};

struct SgdUpdate {
  float* parameter;
  const float* gradient;
  float* momentum_buffer;  ///< or null
  int64_t count;
  SgdConstants constants;
};

/// Calls f(first element, end of the tensor) for this thread's chunks of four.
template <class Entry, class F>
__device__ void for_my_elements(const TensorList<Entry>& list, int mine, const F& f) {
  const int64_t first = int64_t{blockIdx.x - list.first_block[mine]} * kPart;
  const int64_t count = list.entries[mine].count;
  const int64_t end = first + kPart < count ? first + kPart : count;
#pragma unroll 2
  for (int64_t i = first + int64_t{threadIdx.x} * 4; i < end; i += kBlock * 4) f(i, end);
}

__global__ void __launch_bounds__(kBlock) update_adam(TensorList<AdamUpdate> list) {
  const int mine = list.tensor_index();
  const AdamUpdate to = list.entries[mine];
  const AdamConstants& by = to.constants;
  const bool aligned = is_aligned(to.parameter) && is_aligned(to.gradient) &&
                       is_aligned(to.first_moment) && is_aligned(to.second_moment);
  for_my_elements(list, mine, [&](int64_t i, int64_t end) {
    Chunk<float> p = read_chunk(to.parameter, i, end, aligned);
    const Chunk<float> gradient = read_chunk(to.gradient, i, end, aligned);
    Chunk<float> m = read_chunk(to.first_moment, i, end, aligned);
    Chunk<float> v = read_chunk(to.second_moment, i, end, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float g = gradient[k] * by.gradient_scale + by.coupled_decay * p[k];
      m.values[k] = by.beta1 * m[k] + by.one_minus_beta1 * g;
      v.values[k] = by.beta2 * v[k] + by.one_minus_beta2 * (g * g);
      const float denominator = sqrtf(v[k]) * by.inverse_root_correction + by.eps;
      p.values[k] = (p[k] - by.decoupled_decay * p[k]) - by.step_size * m[k] / denominator;
    }
    write_chunk(to.parameter, i, end, aligned, p);
    write_chunk(to.first_moment, i, end, aligned, m);
    write_chunk(to.second_moment, i, end, aligned, v);
  });
}

__global__ void __launch_bounds__(kBlock) update_sgd(TensorList<SgdUpdate> list) {
  const int mine = list.tensor_index();
  const SgdUpdate to = list.entries[mine];
  const SgdConstants& by = to.constants;
  const bool aligned =
      is_aligned(to.parameter) && is_aligned(to.gradient) && is_aligned(to.momentum_buffer);
  for_my_elements(list, mine, [&](int64_t i, int64_t end) {
    Chunk<float> p = read_chunk(to.parameter, i, end, aligned);
    Chunk<float> direction = read_chunk(to.gradient, i, end, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      direction.values[k] = direction[k] * by.gradient_scale + by.weight_decay * p[k];
    }
    if (to.momentum_buffer) {
      Chunk<float> moved = direction;
      if (by.kept != 0.0f) {
        const Chunk<float> buffer = read_chunk(to.momentum_buffer, i, end, aligned);
#pragma unroll
        for (int k = 0; k < 4; ++k) moved.values[k] = by.kept * buffer[k] + direction[k];
      }
      write_chunk(to.momentum_buffer, i, end, aligned, moved);
#pragma unroll
      for (int k = 0; k < 4; ++k)
        direction.values[k] = by.ahead * direction[k] + by.behind * moved[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) p.values[k] -= by.learning_rate * direction[k];
    write_chunk(to.parameter, i, end, aligned, p);
  });
}

AdamUpdate adam_update(const AdamArgs& args) {
  checks::require_adam(Device::cuda, args);
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  return {.parameter = parameter.data<float>(),
          .gradient = args.gradient.data<float>(),
          .first_moment = first.data<float>(),
          .second_moment = second.data<float>(),
          .count = parameter.numel(),
          .constants = adam_constants(args)};
}

SgdUpdate sgd_update(const SgdArgs& args) {
  checks::require_sgd(Device::cuda, args);
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  return {.parameter = parameter.data<float>(),
          .gradient = args.gradient.data<float>(),
          .momentum_buffer = momentum.defined() ? momentum.data<float>() : nullptr,
          .count = parameter.numel(),
          .constants = sgd_constants(args)};
}

}  // namespace
}  // namespace cuda

void CudaBackend::adam_step(const std::vector<AdamArgs>& updates) {
  using namespace cuda;
  TensorListBuilder<AdamUpdate> list(
      kPart, [](const TensorList<AdamUpdate>& full, unsigned blocks) {
        launch("adam_step", update_adam, dim3(blocks), dim3(kBlock), 0, full);
      });
  for (const AdamArgs& args : updates) list.add(adam_update(args), args.parameter.numel());
  list.flush();
}

void CudaBackend::sgd_step(const std::vector<SgdArgs>& updates) {
  using namespace cuda;
  TensorListBuilder<SgdUpdate> list(kPart, [](const TensorList<SgdUpdate>& full, unsigned blocks) {
    launch("sgd_step", update_sgd, dim3(blocks), dim3(kBlock), 0, full);
  });
  for (const SgdArgs& args : updates) list.add(sgd_update(args), args.parameter.numel());
  list.flush();
}

}  // namespace ssa
