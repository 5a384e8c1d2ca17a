// bf16 products on CPUs without bf16 instructions: lower instruction sets multiply in f32.

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/packed_cases.h"

namespace ssa {
namespace {

using namespace testing;

TEST_CASE("packed weights stay usable when the instruction set changes") {
  const std::string chosen = cpu::kernels().isa;
  const auto native = cpu_backend().pack(weights({50}, 40, 1), true, DType::bf16, nullptr);
  const Tensor expected = product_with(native);
  REQUIRE(cpu::select_kernels("baseline"));
  CHECK(worst_error(product_with(native), expected, 0.0) == 0.0);
  const auto lowered = cpu_backend().pack(weights({50}, 40, 1), true, DType::bf16, native);
  CHECK(worst_error(product_with(lowered), expected, 1.0) < 0.01);
  REQUIRE(cpu::select_kernels(chosen.c_str()));
  CHECK(worst_error(product_with(lowered), expected, 1.0) < 0.01);
}

TEST_CASE("lower instruction sets multiply bf16 in f32, and say so") {
  const std::string chosen = cpu::kernels().isa;
  if (chosen != "baseline") {
    REQUIRE(cpu::select_kernels("baseline"));
    CHECK_FALSE(CpuBackend::bf16_is_native());
    CHECK_THAT(cpu_backend().description(), Catch::Contains("bf16 products: in f32"));
    REQUIRE(cpu::select_kernels(chosen.c_str()));
  }
  const bool in_words =
      cpu_backend().description().find("bf16 products: in f32") != std::string::npos;
  CHECK(CpuBackend::bf16_is_native() != in_words);
}

}  // namespace
}  // namespace ssa
