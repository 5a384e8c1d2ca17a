// Parameter updates: their division among threads.

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"
#include "backend/optimizer_checks.h"

namespace ssa {

using cpu::kernels;
using cpu::kPart;
using cpu::parallel_parts;

namespace {

void adam(const AdamArgs& args) {
  checks::require_adam(Device::cpu, args);
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  const AdamConstants constants = adam_constants(args);
  const auto* g = args.gradient.data<float>();
  float *p = parameter.data<float>(), *m = first.data<float>(), *v = second.data<float>();
  parallel_parts(parameter.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().adam(constants, g + i, p + i, m + i, v + i, count);
  });
}

void sgd(const SgdArgs& args) {
  checks::require_sgd(Device::cpu, args);
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  const SgdConstants constants = sgd_constants(args);
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
