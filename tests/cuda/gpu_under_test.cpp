// The table of conformance tests is about the CUDA backend on the GPU of this machine.

#include "backend/device_under_test.h"

namespace ssa::testing {

Device device_under_test() {
  static const Device device = backend(Device::cuda).device();  // or throws why it cannot be used
  return device;
}

std::vector<DType> low_precisions() { return {DType::bf16, DType::f16}; }

std::vector<std::string> variants() { return {"as it is"}; }
std::string current_variant() { return "as it is"; }
void select_variant(const std::string&) {}

}  // namespace ssa::testing
