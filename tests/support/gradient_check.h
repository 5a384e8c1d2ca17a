#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "support/tensors.h"

namespace ssa::testing {

/// An input of the function under test, with the name that failures call it by.
struct NamedLeaf {
  std::string name;
  Variable variable;
};

struct GradientCheck {
  double step = 1e-5;       ///< of the central difference
  double tolerance = 2e-8;  ///< |numeric - analytic| ≤ tolerance · max(1, |numeric|)
  /// Elements looked at in each input: all of them, or this many at random.
  int64_t max_elements = 1 << 20;
};

namespace internal {

/// d(Σ cotangent·f)/d(element `at` of `value`), by a central difference.
inline double numeric_gradient(const std::function<Variable()>& function, Tensor value, int64_t at,
                               const std::vector<double>& cotangent, double step) {
  const NoGrad guard;
  const double before = value.data<double>()[at];
  // The pointer is asked for anew: packed copies of weights see writes by that.
  value.data<double>()[at] = before + step;
  const std::vector<double> above = values(function().value());
  value.data<double>()[at] = before - step;
  const std::vector<double> below = values(function().value());
  value.data<double>()[at] = before;
  double total = 0;
  for (size_t i = 0; i < cotangent.size(); ++i) total += cotangent[i] * (above[i] - below[i]);
  return total / (2 * step);
}

inline std::vector<int64_t> chosen_elements(int64_t count, int64_t wanted, uint32_t stream) {
  std::vector<int64_t> chosen;
  const RngKey key{.seed = 29, .purpose = RngPurpose::test, .stream = stream};
  for (int64_t i = 0; i < std::min(count, wanted); ++i) {
    chosen.push_back(count <= wanted ? i : key.word(static_cast<uint64_t>(i)) % count);
  }
  return chosen;
}

/// Where in a tensor of this shape element number `flat` is: "[2, 0, 1]".
inline std::string index_text(int64_t flat, const Shape& shape) {
  std::string text;
  const std::vector<int64_t> strides = shape.contiguous_strides();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const int64_t stride = strides[static_cast<size_t>(axis)];
    text += fmt::format("{}{}", axis > 0 ? ", " : "", flat / stride % shape[axis]);
  }
  return "[" + text + "]";
}

/// Compares the gradient that one input collected in two passes with finite differences.
inline void compare_input(const std::string& what, const NamedLeaf& input, uint32_t stream,
                          const std::function<Variable()>& function,
                          const std::vector<double>& cotangent, const GradientCheck& options,
                          std::vector<std::string>& problems) {
  const Tensor collected = input.variable.grad();
  if (!collected.defined()) {
    problems.push_back(fmt::format("{}: no gradient for {}", what, input.name));
    return;
  }
  const std::vector<double> analytic = values(collected);
  Tensor value = input.variable.value();
  for (const int64_t i : chosen_elements(value.numel(), options.max_elements, stream)) {
    const double expected = numeric_gradient(function, value, i, cotangent, options.step);
    const double got = analytic[static_cast<size_t>(i)] / 2;  // of two passes
    // Written so that NaN is a mismatch.
    if (std::abs(expected - got) <= options.tolerance * std::max(1.0, std::abs(expected))) {
      continue;
    }
    problems.push_back(
        fmt::format("{}: gradient of {}{} is {:.12g}, finite differences say {:.12g}", what,
                    input.name, index_text(i, value.shape()), got, expected));
  }
}

}  // namespace internal

/// Compares backward() with central finite differences in f64, for a random cotangent: a sum would
/// be blind to everything a softmax or a norm keeps constant. `function` computes the result from
/// the inputs, which are changed in place and put back. Two backward passes are made, so that what
/// adds to a gradient is tested as well as what writes it. Returns a line for every element that
/// is off: op, input, element, both values.
inline std::vector<std::string> gradient_problems(const std::string& what,
                                                  const std::vector<NamedLeaf>& inputs,
                                                  const std::function<Variable()>& function,
                                                  const GradientCheck& options = {}) {
  for (const NamedLeaf& input : inputs) input.variable.zero_grad();
  std::vector<double> cotangent;
  for (int pass = 0; pass < 2; ++pass) {
    const Variable result = function();
    const Tensor grad = random_f64(result.shape(), 7);
    cotangent = values(grad);
    if (!result.requires_grad()) return {what + ": the result is not on the tape"};
    result.backward(grad);
    if (values(grad) != cotangent) return {what + ": backward changed the gradient it was given"};
  }
  std::vector<std::string> problems;
  for (size_t i = 0; i < inputs.size(); ++i) {
    internal::compare_input(what, inputs[i], static_cast<uint32_t>(i), function, cotangent, options,
                            problems);
  }
  return problems;
}

/// Fails with the first lines of gradient_problems().
inline void check_gradients(const std::string& what, const std::vector<NamedLeaf>& inputs,
                            const std::function<Variable()>& function,
                            const GradientCheck& options = {}) {
  const std::vector<std::string> problems = gradient_problems(what, inputs, function, options);
  std::string report;
  for (size_t i = 0; i < std::min<size_t>(problems.size(), 8); ++i) report += problems[i] + "\n";
  INFO(report << problems.size() << " problems");
  CHECK(problems.empty());
}

}  // namespace ssa::testing
