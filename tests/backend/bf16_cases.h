#pragma once

#include <list>

#include "backend/cases.h"

namespace ssa::test {

/// One primitive called on one backend: hands out its inputs and outputs in the dtypes that the
/// run is about. Inputs come as f32 or bf16 tensors.
class Run {
 public:
  /// `exact`: everything in f64. Otherwise data are bf16, parameters and statistics f32.
  Run(Backend& chosen, bool exact) : backend(chosen), exact_(exact) {}

  Backend& backend;
  bool exact() const { return exact_; }
  DType data_dtype() const { return exact_ ? DType::f64 : DType::bf16; }

  /// An input: a parameter or statistic if it is f32, data if it is bf16.
  Tensor in(const Tensor& values) const { return exact_ ? converted(values, DType::f64) : values; }
  /// An output that holds `values` at first.
  Tensor& inout(const Tensor& values) {
    if (!exact_) return outputs_.emplace_back(values).tensor;
    outputs_.emplace_back(Shape{0});
    return outputs_.back().tensor = converted(values, DType::f64);
  }
  Tensor& data(const Shape& shape) { return inout(nans(shape, DType::bf16)); }
  Tensor& wide(const Shape& shape) { return inout(nans(shape, DType::f32)); }

  /// In the order in which they were asked for.
  std::list<Guarded>& outputs() { return outputs_; }

 private:
  static Tensor nans(const Shape& shape, DType dtype) {
    Tensor tensor = Tensor::empty(shape, dtype, Device::cpu);
    reference_backend().fill(tensor, std::nan(""));
    return tensor;
  }
  bool exact_;
  std::list<Guarded> outputs_;
};

/// Calls `primitive(run)` for the reference in f64, the reference in bf16, and the CPU backend with
/// each instruction set. Each output of the latter may be twice as far from the first as the second
/// is, and a millionth more; errors are relative to `size` plus the exact magnitude.
template <class F>
void check_bf16(double size, const F& primitive) {
  Run exact(reference_backend(), true), rounded(reference_backend(), false);
  primitive(exact);
  primitive(rounded);
  for_each_isa([&] {
    Run run(cpu_backend(), false);
    primitive(run);
    REQUIRE(run.outputs().size() == exact.outputs().size());
    auto truth = exact.outputs().begin(), other = rounded.outputs().begin();
    int number = 0;
    for (const Guarded& output : run.outputs()) {
      INFO("output " << number++);
      const double allowed = 2 * worst_error(other->tensor, truth->tensor, size) + 1e-6;
      REQUIRE(std::isfinite(allowed));
      CHECK(worst_error(output.tensor, truth->tensor, size) <= allowed);
      CHECK(output.intact());
      ++truth;
      ++other;
    }
  });
}

inline Tensor random_bf16(const Shape& shape, uint32_t seed, double amplitude = 1.0) {
  return converted(random_tensor(shape, seed, amplitude), DType::bf16);
}

}  // namespace ssa::test
