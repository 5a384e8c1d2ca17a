// Linear maps, also with a layer norm or an activation in front of them. Backward recomputes what
// is cheap to compute instead of keeping it.

#include "ssa/ops/ops.h"

#include "ops/checks.h"
#include "ops/layer_norm.h"

namespace ssa::ops {

namespace {

void check_map(const char* op, const Tensor& x, const LinearMap& map) {
  check_rank(op, "x", x, 2);
  const auto& weights = map.weights.parts();
  SSA_CHECK(map.biases.empty() || map.biases.size() == weights.size(),
            "{}: {} weights with {} biases", op, weights.size(), map.biases.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor& weight = weights[i].value();
    check_rank(op, "the weight", weight, 2);
    check_parameter(op, "the weight", weight, x);
    check_shape(op, "the weight", weight, {weight.dim(0), x.dim(1)});
    if (map.biases.empty()) continue;
    check_parameter(op, "the bias", map.biases[i].value(), x);
    check_shape(op, "the bias", map.biases[i].value(), {weight.dim(0)});
  }
}

/// The biases side by side; undefined if there are none.
Tensor joined_bias(const LinearMap& map) {
  if (map.biases.empty()) return {};
  if (map.biases.size() == 1) return map.biases.front().value();
  const Tensor& like = map.biases.front().value();
  Tensor joined = Tensor::empty({map.weights.out()}, like.dtype(), like.device());
  int64_t first = 0;
  for (const Variable& bias : map.biases) {
    Tensor place = joined.slice(0, first, bias.dim(0));
    backend(like.device()).copy(bias.value(), place);
    first += bias.dim(0);
  }
  return joined;
}

/// If `activated` is given and the backend fuses the two, `activated` receives f(result).
Tensor product(const Tensor& x, const LinearMap& map, const Variable& residual, DType dtype,
               Activated* activated = nullptr) {
  Tensor out = Tensor::empty({x.dim(0), map.weights.out()}, dtype, x.device());
  if (residual.defined()) {
    check_same_kind("linear", out, residual.value());
    check_shape("linear", "the residual", residual.value(), out.shape());
  }
  Backend& compute = backend(x.device());
  const MatmulArgs args{.a = x,
                        .packed_b = map.weights.transposed(x.dtype()),
                        .bias = joined_bias(map),
                        .residual = residual.value(),
                        .out = out};
  if (activated && compute.fuses(activated->kind, dtype)) {
    activated->values = Tensor::empty_like(out);
    compute.matmul_activation(args, activated->kind, activated->values);
  } else {
    compute.matmul(args);
  }
  return out;
}

std::vector<Variable> inputs_of(const LinearMap& map, std::vector<Variable> others) {
  for (const Variable& weight : map.weights.parts()) others.push_back(weight);
  for (const Variable& bias : map.biases) others.push_back(bias);
  return others;
}

/// The gradients of a map: its weights, and the slots of their gradients.
class MapGradients {
 public:
  explicit MapGradients(const LinearMap& map) : weights_(map.weights) {
    for (const Variable& weight : map.weights.parts()) to_weights_.push_back(weight.slot());
    for (const Variable& bias : map.biases) to_biases_.push_back(bias.slot());
  }

  /// dX = dY · W
  void input(const Tensor& grad, const Tensor& to, bool accumulate) const {
    backend(grad.device())
        .matmul({.a = grad,
                 .packed_b = weights_.plain(grad.dtype()),
                 .out = to,
                 .accumulate = accumulate});
  }
  /// dX = (dY · W) · f'(x); `again`, which may be x, receives f(x).
  Tensor activation_input(const Tensor& grad, Activation kind, const Tensor& x,
                          Tensor& again) const {
    Tensor result = Tensor::empty_like(x);
    backend(grad.device())
        .matmul_activation_backward(
            {.a = grad, .packed_b = weights_.plain(grad.dtype()), .out = result}, kind, x, again);
    return result;
  }
  Tensor input(const Tensor& grad) const {
    Tensor result = Tensor::empty({grad.dim(0), weights_.in()}, grad.dtype(), grad.device());
    input(grad, result, false);
    return result;
  }

  /// dW = dYᵀ · X and db = Σ_rows dY, for each weight from its own columns of dY.
  void parameters(const Tensor& grad, const Tensor& x) const {
    Backend& compute = backend(grad.device());
    int64_t first = 0;
    for (size_t i = 0; i < to_weights_.size(); ++i) {
      const int64_t columns = weights_.parts()[i].dim(0);
      const Tensor part = grad.slice(1, first, columns);
      first += columns;
      const bool biased = i < to_biases_.size() && to_biases_[i].wanted();
      if (to_weights_[i].wanted()) {
        const auto [weight, add_to_weight] = to_weights_[i].target();
        const auto [bias, add_to_bias] = biased ? to_biases_[i].target() : GradSlot::Target{};
        compute.weight_gradient({.grad_out = part,
                                 .in = x,
                                 .grad_weight = weight,
                                 .accumulate_weight = add_to_weight,
                                 .grad_bias = bias,
                                 .accumulate_bias = add_to_bias});
      } else if (biased) {
        auto [bias, add_to_bias] = to_biases_[i].target();
        compute.column_sum(part, bias, add_to_bias);
      }
    }
  }

 private:
  PackedWeights weights_;
  std::vector<GradSlot> to_weights_, to_biases_;
};

Tensor converted(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  Tensor result = Tensor::empty(tensor.shape(), dtype, tensor.device());
  backend(tensor.device()).copy(tensor, result);
  return result;
}

Variable plain_linear(const Variable& x, const LinearMap& map, const Variable& residual,
                      DType dtype) {
  check_map("linear", x.value(), map);
  return Variable::record(product(x.value(), map, residual, dtype), inputs_of(map, {x, residual}),
                          [in = x.value(), gradients = MapGradients(map), to_x = x.slot(),
                           to_residual = residual.slot()](const Tensor& arrived) {
                            const Tensor grad = converted(arrived, in.dtype());
                            gradients.parameters(grad, in);
                            if (to_x.wanted()) {
                              const auto [target, accumulate] = to_x.target();
                              gradients.input(grad, target, accumulate);
                            }
                            to_residual.accumulate(arrived);
                          });
}

}  // namespace

Variable linear(const Variable& x, const LinearMap& map, const Variable& residual) {
  return plain_linear(x, map, residual, x.value().dtype());
}

Variable wide_linear(const Variable& x, const LinearMap& map) {
  return plain_linear(x, map, Variable(), wide(x.value().dtype()));
}

Variable norm_linear(const Variable& x, const Variable& gain, const Variable& shift, double eps,
                     const LinearMap& map, Activated* activated) {
  check_map("norm_linear", x.value(), map);
  check_norm("norm_linear", x.value(), gain.value(), shift.value());
  const Device device = x.value().device();
  const DType statistics = wide(x.value().dtype());
  Tensor mean = Tensor::empty({x.dim(0)}, statistics, device);
  Tensor rstd = Tensor::empty({x.dim(0)}, statistics, device);
  Tensor normed = Tensor::empty_like(x.value());
  backend(device).layer_norm(x.value(), gain.value(), shift.value(), eps, normed, mean, rstd);
  return Variable::record(product(normed, map, Variable(), x.value().dtype(), activated),
                          inputs_of(map, {x, gain, shift}),
                          [in = x.value(), g = gain.value(), s = shift.value(), mean, rstd,
                           gradients = MapGradients(map), to_x = x.slot(), to_gain = gain.slot(),
                           to_shift = shift.slot()](const Tensor& grad) {
                            // Holds the gradient of the normalised rows, then those rows again.
                            const Tensor rows = gradients.input(grad);
                            norm_backward({.in = in,
                                           .gain = g,
                                           .shift = s,
                                           .mean = mean,
                                           .rstd = rstd,
                                           .grad_out = rows,
                                           .out = rows},
                                          to_x, to_gain, to_shift);
                            gradients.parameters(grad, rows);
                          });
}

Variable activation_linear(const Activated& f, const Variable& x, const Dropout& dropout,
                           const LinearMap& map, const Variable& residual) {
  check_map("activation_linear", x.value(), map);
  const auto drop = [dropout](Tensor& tensor) {
    if (dropout.active()) backend(tensor.device()).dropout(dropout, tensor, Tensor(), tensor);
  };
  Tensor activated = f.values;
  if (!activated.defined()) {
    activated = Tensor::empty_like(x.value());
    backend(activated.device()).activation(f.kind, x.value(), activated);
  }
  drop(activated);
  return Variable::record(
      product(activated, map, residual, x.value().dtype()), inputs_of(map, {x, residual}),
      [kind = f.kind, drop, in = x.value(), gradients = MapGradients(map), to_x = x.slot(),
       to_residual = residual.slot()](const Tensor& grad) mutable {
        Tensor again = in.unique() ? in : Tensor::empty_like(in);
        Tensor grad_in = gradients.activation_input(grad, kind, in, again);
        drop(grad_in);  // dropout scales or clears elements, so it may come before or after the
                        // slope
        drop(again);
        gradients.parameters(grad, again);
        to_x.accumulate(grad_in);
        to_residual.accumulate(grad);
      });
}

}  // namespace ssa::ops
