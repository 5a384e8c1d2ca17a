// Runs the table of conformance tests on the CPU backend, with every instruction set that this
// machine has.

#include "backend/cpu/kernels/kernels.h"
#include "backend/device_under_test.h"

namespace ssa::testing {

Device device_under_test() { return Device::cpu; }

std::vector<DType> low_precisions() { return {DType::bf16}; }

std::vector<std::string> variants() {
  std::vector<std::string> found;
  for (const char* isa : {"baseline", "avx2", "avx512", "amx"}) {
    if (cpu::find_kernels(isa)) found.push_back(isa);
  }
  return found;
}

std::string current_variant() { return cpu::kernels().isa; }

void select_variant(const std::string& variant) { cpu::select_kernels(variant.c_str()); }

}  // namespace ssa::testing
