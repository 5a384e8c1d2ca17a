// Parameter updates, all tensors of a call in as few launches as their pointers fit into. Adam
// reads 16 bytes per element and writes 12; SGD reads 12 (without momentum 8) and writes 8 (4).

#include <cmath>

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/tensor_list.cuh"

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
  float gradient_scale, coupled_decay, decoupled_decay, beta1, one_minus_beta1, beta2,
      one_minus_beta2, step_size, inverse_root_correction, eps;
};

struct SgdUpdate {
  float* parameter;
  const float* gradient;
  float* momentum_buffer;  ///< or null
  int64_t count;
  float gradient_scale, weight_decay, learning_rate;
  float kept;           ///< of the buffer; 0: it is not even read
  float ahead, behind;  ///< shares of the gradient itself and of the buffer in the step
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
  const bool aligned = is_aligned(to.parameter) && is_aligned(to.gradient) &&
                       is_aligned(to.first_moment) && is_aligned(to.second_moment);
  for_my_elements(list, mine, [&](int64_t i, int64_t end) {
    Chunk<float> p = read_chunk(to.parameter, i, end, aligned);
    const Chunk<float> gradient = read_chunk(to.gradient, i, end, aligned);
    Chunk<float> m = read_chunk(to.first_moment, i, end, aligned);
    Chunk<float> v = read_chunk(to.second_moment, i, end, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float g = gradient[k] * to.gradient_scale + to.coupled_decay * p[k];
      m.values[k] = to.beta1 * m[k] + to.one_minus_beta1 * g;
      v.values[k] = to.beta2 * v[k] + to.one_minus_beta2 * (g * g);
      const float denominator = sqrtf(v[k]) * to.inverse_root_correction + to.eps;
      p.values[k] = (p[k] - to.decoupled_decay * p[k]) - to.step_size * m[k] / denominator;
    }
    write_chunk(to.parameter, i, end, aligned, p);
    write_chunk(to.first_moment, i, end, aligned, m);
    write_chunk(to.second_moment, i, end, aligned, v);
  });
}

__global__ void __launch_bounds__(kBlock) update_sgd(TensorList<SgdUpdate> list) {
  const int mine = list.tensor_index();
  const SgdUpdate to = list.entries[mine];
  const bool aligned =
      is_aligned(to.parameter) && is_aligned(to.gradient) && is_aligned(to.momentum_buffer);
  for_my_elements(list, mine, [&](int64_t i, int64_t end) {
    Chunk<float> p = read_chunk(to.parameter, i, end, aligned);
    Chunk<float> direction = read_chunk(to.gradient, i, end, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      direction.values[k] = direction[k] * to.gradient_scale + to.weight_decay * p[k];
    }
    if (to.momentum_buffer) {
      Chunk<float> moved = direction;
      if (to.kept != 0.0f) {
        const Chunk<float> buffer = read_chunk(to.momentum_buffer, i, end, aligned);
#pragma unroll
        for (int k = 0; k < 4; ++k) moved.values[k] = to.kept * buffer[k] + direction[k];
      }
      write_chunk(to.momentum_buffer, i, end, aligned, moved);
#pragma unroll
      for (int k = 0; k < 4; ++k)
        direction.values[k] = to.ahead * direction[k] + to.behind * moved[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) p.values[k] -= to.learning_rate * direction[k];
    write_chunk(to.parameter, i, end, aligned, p);
  });
}

float narrow(double value) { return static_cast<float>(value); }

AdamUpdate adam_update(const AdamArgs& args) {
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  checks::require_alike({"adam_step", Device::cuda}, {{"parameter", parameter},
                                                      {"gradient", args.gradient},
                                                      {"first_moment", first},
                                                      {"second_moment", second}});
  const auto step = static_cast<double>(args.step);
  return {.parameter = parameter.data<float>(),
          .gradient = args.gradient.data<float>(),
          .first_moment = first.data<float>(),
          .second_moment = second.data<float>(),
          .count = parameter.numel(),
          .gradient_scale = narrow(args.gradient_scale),
          .coupled_decay = narrow(args.decoupled ? 0.0 : args.weight_decay),
          .decoupled_decay = narrow(args.decoupled ? args.learning_rate * args.weight_decay : 0.0),
          .beta1 = narrow(args.beta1),
          .one_minus_beta1 = narrow(1.0 - args.beta1),
          .beta2 = narrow(args.beta2),
          .one_minus_beta2 = narrow(1.0 - args.beta2),
          .step_size = narrow(args.learning_rate / (1.0 - std::pow(args.beta1, step))),
          .inverse_root_correction = narrow(1.0 / std::sqrt(1.0 - std::pow(args.beta2, step))),
          .eps = narrow(args.eps)};
}

SgdUpdate sgd_update(const SgdArgs& args) {
  const checks::Op op("sgd_step", Device::cuda);
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  checks::require_alike(op, {{"parameter", parameter}, {"gradient", args.gradient}});
  if (momentum.defined() || args.momentum != 0) {
    checks::require_alike(op, {{"parameter", parameter}, {"momentum_buffer", momentum}});
  }
  const float momentum_share = narrow(args.momentum);
  return {.parameter = parameter.data<float>(),
          .gradient = args.gradient.data<float>(),
          .momentum_buffer = momentum.defined() ? momentum.data<float>() : nullptr,
          .count = parameter.numel(),
          .gradient_scale = narrow(args.gradient_scale),
          .weight_decay = narrow(args.weight_decay),
          .learning_rate = narrow(args.learning_rate),
          .kept = args.first_step ? 0.0f : momentum_share,
          .ahead = args.nesterov ? 1.0f : 0.0f,
          .behind = args.nesterov ? momentum_share : 1.0f};
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
