// Runs the table of conformance tests on the CUDA backend with an emulated GPU, whose threads take
// turns in either order. A kernel whose result depends on the order lacks a barrier.

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // listeners
#include <catch2/catch.hpp>

#include "backend/cuda/cuda_backend.h"
#include "backend/device_under_test.h"
#include "backend/registry.h"
#include "fibers.h"

namespace ssa::testing {

namespace {

emulation::Order order = emulation::Order::forward;

/// Installs the backend before the first test, since any test may run alone.
struct InstallBackend : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunStarting(const Catch::TestRunInfo&) override {
    install_cuda_backend(make_cuda_backend());
  }
};
CATCH_REGISTER_LISTENER(InstallBackend)

}  // namespace

Device device_under_test() { return Device::cuda; }

std::vector<DType> low_precisions() { return {DType::bf16, DType::f16}; }

std::vector<std::string> variants() { return {"threads forward", "threads backward"}; }

std::string current_variant() { return variants()[order == emulation::Order::forward ? 0 : 1]; }

void select_variant(const std::string& variant) {
  order = variant == variants()[0] ? emulation::Order::forward : emulation::Order::backward;
  emulation::set_order(order);
}

}  // namespace ssa::testing
