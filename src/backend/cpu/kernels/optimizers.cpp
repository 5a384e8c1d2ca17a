// Parameter updates. Plain loops: the compiler vectorises them, square root included.

#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

void adam(const AdamConstants& constants, const float* gradient, float* parameter,
          float* first_moment, float* second_moment, int64_t count) {
  const AdamConstants k = constants;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float p = parameter[i];
    const float g = gradient[i] * k.gradient_scale + k.coupled_decay * p;
    const float m = k.beta1 * first_moment[i] + k.one_minus_beta1 * g;
    const float v = k.beta2 * second_moment[i] + k.one_minus_beta2 * (g * g);
    const float denominator = __builtin_sqrtf(v) * k.inverse_root_correction + k.eps;
    first_moment[i] = m;
    second_moment[i] = v;
    parameter[i] = (p - k.decoupled_decay * p) - k.step_size * m / denominator;
  }
}

void sgd_with_momentum(const SgdConstants& constants, const float* gradient, float* parameter,
                       float* momentum, int64_t count) {
  const SgdConstants k = constants;
  const bool reads_buffer = k.kept != 0.0f;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * k.gradient_scale + k.weight_decay * parameter[i];
    const float previous = reads_buffer ? momentum[i] : 0.0f;
    const float moved = k.kept * previous + g;
    momentum[i] = moved;
    parameter[i] -= k.learning_rate * (k.ahead * g + k.behind * moved);
  }
}

void sgd(const SgdConstants& constants, const float* gradient, float* parameter, float* momentum,
         int64_t count) {
  if (momentum) return sgd_with_momentum(constants, gradient, parameter, momentum, count);
  const SgdConstants k = constants;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * k.gradient_scale + k.weight_decay * parameter[i];
    parameter[i] -= k.learning_rate * g;
  }
}

}  // namespace

void fill_optimizers(Kernels& table) {
  table.adam = adam;
  table.sgd = sgd;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
