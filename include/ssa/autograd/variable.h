#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ssa/core/tensor.h"

namespace ssa {

/// Where a gradient goes in a backward function: the gradient of one input of an op. Small and
/// copyable; empty (`!wanted()`) if that input needs no gradient.
class GradSlot {
 public:
  struct Node;
  GradSlot() = default;
  explicit GradSlot(std::shared_ptr<Node> node) : node_(std::move(node)) {}

  bool wanted() const { return node_ != nullptr; }
  /// Both lead to the same gradient.
  bool operator==(const GradSlot&) const = default;
  /// Adds `grad` to what has arrived so far. The tensor may be shared with other slots.
  void accumulate(const Tensor& grad) const;
  /// A buffer to write or add the gradient into directly, without a temporary.
  struct Target {
    Tensor tensor;
    bool accumulate;  ///< true: add to the tensor, false: overwrite it
  };
  Target target() const;
  /// The same, filled with zeros if nothing has arrived: for primitives that always add.
  Tensor zeroed_target() const;

 private:
  std::shared_ptr<Node> node_;
};

/// A value and its place on the tape. Copies share both. The tape keeps alive only what backward
/// functions list as saved, never the values themselves.
class Variable {
 public:
  Variable() = default;
  /// A constant, or with requires_grad a leaf (a parameter) that collects gradients.
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t dim(int axis) const { return value_.dim(axis); }
  bool requires_grad() const { return node_ != nullptr; }
  GradSlot slot() const { return GradSlot(node_); }

  /// The gradient collected so far; undefined if none.
  Tensor grad() const;
  /// Forgets the collected gradient but keeps its buffer for the next step.
  void zero_grad() const;

  /// From now on this leaf collects its gradient in `buffer`, which may be a part of a larger
  /// tensor, and nowhere else. Forgets what it has collected. Throws ShapeError unless this is a
  /// leaf and the buffer contiguous and of its shape, dtype and device.
  void set_grad_buffer(const Tensor& buffer) const;
  /// `complete` is called in every backward pass that this leaf takes part in, when no op is left
  /// that could add to its gradient, be it recorded or inside a checkpointed function. A gradient
  /// that arrives later in the same pass, from an op that did not list the leaf among its inputs,
  /// throws ShapeError. An empty function: no more calls.
  void on_grad_complete(std::function<void()> complete) const;

  /// Runs the tape backwards from here with d(loss)/d(this) = grad, of this variable's shape. Each
  /// recorded op runs once, latest first, and is then forgotten, so a graph can be used once.
  void backward(const Tensor& grad) const;

  /// Puts the result of an op on the tape. `backward` gets the gradient of the result and passes
  /// it on through the slots of the inputs it captured; it is called at most once. Inputs that
  /// need no gradient may be in the list. Without any that does, or under NoGrad, the result is a
  /// constant.
  static Variable record(Tensor value, const std::vector<Variable>& inputs,
                         std::function<void(const Tensor& grad)> backward);

 private:
  Tensor value_;
  std::shared_ptr<GradSlot::Node> node_;
  friend Variable recompute(const std::function<Variable(const Variable&)>& function,
                            const Variable& input);
};

/// While one exists on this thread, nothing is recorded.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
bool grad_enabled();

/// Activation checkpointing (Chen et al. 2016): function(input) without recording; backward runs
/// it again, recorded this time. Nothing but the input is kept in between. The function must be
/// deterministic; dropout is, since its masks are drawn by key. Parameters it uses get gradients.
Variable recompute(const std::function<Variable(const Variable&)>& function, const Variable& input);

}  // namespace ssa
