#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ssa/core/tensor.h"

namespace ssa {

/// The place of a gradient in a backward function: the gradient of one input of an op. Small and
/// copyable. Empty (`!wanted()`) if that input needs no gradient.
class GradSlot {
 public:
  struct Node;
  GradSlot() = default;
  explicit GradSlot(std::shared_ptr<Node> node) : node_(std::move(node)) {}

  bool wanted() const { return node_ != nullptr; }
  /// Whether both stand for the same gradient.
  bool operator==(const GradSlot&) const = default;
  /// Adds `grad` to the gradient so far. The tensor may be shared with other slots.
  void accumulate(const Tensor& grad) const;
  /// A buffer to write or add the gradient into directly, without a temporary.
  struct Target {
    Tensor tensor;
    bool accumulate;  ///< true: add to the tensor, false: overwrite it
  };
  Target target() const;
  /// Like target(), filled with zeros if no gradient has arrived: for primitives that always add.
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
  /// Forgets the collected gradient and releases its buffer, unless set_grad_buffer() gave it.
  void release_grad() const;

  /// Makes this leaf collect its gradient in `buffer`, which may be part of a larger tensor.
  /// Forgets the gradient collected so far. Throws ShapeError unless this is a leaf, and the buffer
  /// is contiguous and has the leaf's shape, dtype and device.
  void set_grad_buffer(const Tensor& buffer) const;
  /// Sets a function that every backward pass calls once this leaf's gradient is complete: when no
  /// op is left that could add to it, recorded or inside a checkpointed function. A gradient that
  /// arrives later in the same pass, from an op that did not list the leaf among its inputs, throws
  /// ShapeError. An empty function ends the calls.
  void on_grad_complete(std::function<void()> complete) const;

  /// Runs the tape backwards from here with d(loss)/d(this) = grad, of this variable's shape. Runs
  /// the backward function of each recorded op once, latest first, and then frees it, so a tape can
  /// be used once.
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

/// While one lives, this thread records nothing on the tape.
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

/// Activation checkpointing (Chen et al. 2016). Runs function(input) without recording and keeps
/// only the input; backward runs the function again and records it. The function must be
/// deterministic; dropout is, since keys determine its masks. Parameters that it uses get
/// gradients.
Variable recompute(const std::function<Variable(const Variable&)>& function, const Variable& input);

}  // namespace ssa
