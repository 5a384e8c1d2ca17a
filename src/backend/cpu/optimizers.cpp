// Parameter updates: the constants of a step and its division among threads.

#include <cmath>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using checks::require_alike;
using cpu::kernels;
using cpu::kPart;
using cpu::parallel_parts;

namespace {

void adam(const AdamArgs& args) {
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  require_alike("adam_step", {{"parameter", parameter},
                              {"gradient", args.gradient},
                              {"first_moment", first},
                              {"second_moment", second}});
  const auto step = static_cast<double>(args.step);
  const auto narrow = [](double value) { return static_cast<float>(value); };
  const cpu::AdamConstants constants{
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
  const auto* g = args.gradient.data<float>();
  float *p = parameter.data<float>(), *m = first.data<float>(), *v = second.data<float>();
  parallel_parts(parameter.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().adam(constants, g + i, p + i, m + i, v + i, count);
  });
}

void sgd(const SgdArgs& args) {
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  require_alike("sgd_step", {{"parameter", parameter}, {"gradient", args.gradient}});
  if (momentum.defined() || args.momentum != 0) {
    require_alike("sgd_step", {{"parameter", parameter}, {"momentum_buffer", momentum}});
  }
  const cpu::SgdConstants constants{.gradient_scale = static_cast<float>(args.gradient_scale),
                                    .weight_decay = static_cast<float>(args.weight_decay),
                                    .momentum = static_cast<float>(args.momentum),
                                    .learning_rate = static_cast<float>(args.learning_rate),
                                    .nesterov = args.nesterov,
                                    .first_step = args.first_step};
  const auto* g = args.gradient.data<float>();
  auto* p = parameter.data<float>();
  auto* buffer = momentum.defined() ? momentum.data<float>() : nullptr;
  parallel_parts(parameter.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().sgd(constants, g + i, p + i, buffer ? buffer + i : nullptr, count);
  });
}

}  // namespace

void CpuBackend::adam_step(const std::vector<AdamArgs>& updates) {
  for (const AdamArgs& args : updates) adam(args);
}

void CpuBackend::sgd_step(const std::vector<SgdArgs>& updates) {
  for (const SgdArgs& args : updates) sgd(args);
}

}  // namespace ssa
