// The instance of the CPU backend, and its description.

#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>
#include <omp.h>

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/onednn_matmul.h"

namespace ssa {

Backend& cpu_backend() {
  static CpuBackend instance;
  return instance;
}

// Chooses the kernels now: an error thrown by the first op, in a parallel region, would end the
// program.
CpuBackend::CpuBackend() { cpu::kernels_asked_for(); }

namespace {

const char* bf16_products() {
  if (CpuBackend::bf16_is_native()) {
    return cpu::onednn_bf16_instructions() == cpu::Bf16Instructions::amx ? "AMX" : "AVX512-BF16";
  }
  return cpu::onednn_bf16_instructions() == cpu::Bf16Instructions::none
             ? "in f32: this machine has no bf16 instructions"
             : "in f32: SSA_CPU_ISA is lower than this machine's instruction set";
}

}  // namespace

std::string CpuBackend::description() const {
  const int threads = omp_get_max_threads();
  return fmt::format(
      "cpu ({} kernels, SSA_CPU_ISA lowers that; {}; bf16 products: {}; {} thread{})",
      cpu::kernels().isa, cpu::onednn_description(), bf16_products(), threads,
      threads == 1 ? "" : "s");
}

}  // namespace ssa
