#pragma once

#include <algorithm>
#include <list>

#include "backend/cases.h"

namespace ssa::testing {

/// `values` in another dtype. Values too large for f16 become its largest.
inline Tensor saturated(const Tensor& values, DType dtype) {
  if (dtype != DType::f16) return converted(values, dtype);
  Tensor wide = converted(host(values), DType::f32);
  float* x = wide.data<float>();
  for (int64_t i = 0; i < wide.numel(); ++i) {
    if (std::isfinite(x[i])) x[i] = std::clamp(x[i], -65504.0f, 65504.0f);
  }
  const Tensor result = converted(wide, dtype);
  return values.device() == Device::cuda ? on_device(result) : result;
}

/// One call of a primitive on one backend. Converts inputs and outputs to the dtypes of this run,
/// on the backend's device. Inputs are given as f32, bf16 or i32 tensors.
class Run {
 public:
  /// `exact`: everything in f64. Otherwise data are `low`, parameters and statistics f32.
  Run(Backend& chosen, DType low, bool exact) : backend(chosen), low_(low), exact_(exact) {}

  Backend& backend;
  bool exact() const { return exact_; }
  DType data_dtype() const { return exact_ ? DType::f64 : low_; }

  /// An input: a parameter or statistic if it is f32, data if it is bf16.
  Tensor in(const Tensor& values) const {
    if (!values.defined()) return values;
    return backend.device() == Device::cuda ? on_device(stored(values)) : host(stored(values));
  }
  /// An output that holds `values` at first.
  Tensor& inout(const Tensor& values) {
    const Tensor start = stored(values);
    if (backend.device() == device_under_test()) return outputs_.emplace_back(start).tensor;
    outputs_.emplace_back(Shape{0});
    return outputs_.back().tensor = converted(host(start), start.dtype());
  }
  Tensor& data(const Shape& shape) { return inout(filled_with(shape, DType::bf16, std::nan(""))); }
  Tensor& wide(const Shape& shape) { return inout(filled_with(shape, DType::f32, std::nan(""))); }

  /// The outputs, in the order of their creation.
  std::list<Guarded>& outputs() { return outputs_; }

 private:
  Tensor stored(const Tensor& values) const {
    if (!is_floating(values.dtype())) return values;
    const bool is_data = values.dtype() == DType::bf16;
    if (!exact_) return is_data ? saturated(values, low_) : values;
    return converted(is_data ? saturated(values, low_) : values, DType::f64);
  }
  DType low_;
  bool exact_;
  std::list<Guarded> outputs_;
};

/// Calls `primitive(run)` for the reference in f64, the reference in the low precision, and each
/// variant of the backend under test. The error of each output against f64 may be twice that of the
/// low-precision reference, plus a millionth. Errors are relative to `size` plus the exact
/// magnitude.
template <class F>
void check_low_precision(double size, DType low, const F& primitive) {
  Run exact(reference_backend(), low, true), rounded(reference_backend(), low, false);
  primitive(exact);
  primitive(rounded);
  for_each_variant([&] {
    Run run(tested(), low, false);
    primitive(run);
    REQUIRE(run.outputs().size() == exact.outputs().size());
    auto truth = exact.outputs().begin(), other = rounded.outputs().begin();
    int number = 0;
    for (const Guarded& output : run.outputs()) {
      INFO(name(low) << ", output " << number++);
      const double allowed = 2 * worst_error(other->tensor, truth->tensor, size) + 1e-6;
      REQUIRE(std::isfinite(allowed));
      CHECK(worst_error(output.tensor, truth->tensor, size) <= allowed);
      CHECK(output.intact());
      ++truth;
      ++other;
    }
  });
}

/// Does so in all low precisions that the backend under test supports.
template <class F>
void check_low_precision(double size, const F& primitive) {
  for (const DType low : low_precisions()) check_low_precision(size, low, primitive);
}

/// Data for any low precision, in bf16.
inline Tensor random_data(const Shape& shape, uint32_t seed, double amplitude = 1.0) {
  return converted(random_tensor(shape, seed, amplitude), DType::bf16);
}

}  // namespace ssa::testing
