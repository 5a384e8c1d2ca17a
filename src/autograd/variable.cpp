#include "ssa/autograd/variable.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include "ssa/backend/backend.h"

namespace ssa {

namespace {

thread_local bool recording = true;
/// The number of the backward pass that runs on this thread; 0 without one. A pass inside a
/// checkpointed function has the number of the outer pass.
thread_local uint64_t running_pass = 0;

}  // namespace

struct GradSlot::Node {
  // The gradient's shape, dtype and device, for a buffer that is made before a gradient has
  // arrived.
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;

  Tensor grad;  // buffer; holds a gradient only if has_grad
  bool has_grad = false;
  bool leaf = false;          // a parameter, whose buffer is kept between steps
  bool given_buffer = false;  // set_grad_buffer() gave a leaf this buffer: it is never replaced
  std::function<void()> on_complete;  // of a leaf
  uint64_t completed_pass = 0;        // the last pass that called on_complete
  uint64_t sequence = 0;              // order of recording; backward goes from high to low
  std::vector<std::shared_ptr<Node>> inputs;
  std::function<void(const Tensor&)> backward;

  Node(const Tensor& value, bool is_leaf)
      : shape(value.shape()), dtype(value.dtype()), device(value.device()), leaf(is_leaf) {
    static std::atomic<uint64_t> counter{0};
    sequence = ++counter;
  }

  Tensor& buffer() {
    if (!grad.defined()) {
      grad = Tensor::empty(shape, dtype, device,
                           leaf ? MemoryCategory::gradients : MemoryCategory::activations);
    }
    return grad;
  }

  /// Whether the gradient may be overwritten: no other slot holds the same tensor.
  bool writable() const { return given_buffer || grad.unique(); }

  void require_incomplete() const {
    SSA_CHECK(running_pass == 0 || completed_pass != running_pass,
              "backward: a gradient of shape {} arrives after it was complete: some op uses this "
              "parameter without listing it among its inputs",
              to_string(shape));
  }
};

namespace {

using NodePtr = std::shared_ptr<GradSlot::Node>;

/// The leaves that the checkpointed function on this thread has used so far; null without one.
thread_local std::vector<NodePtr>* unrecorded_leaves = nullptr;

void note_unrecorded(const NodePtr& node) {
  if (unrecorded_leaves && node && node->leaf) unrecorded_leaves->push_back(node);
}

/// While it lives, leaves are noted in this list.
class NoteLeaves {
 public:
  explicit NoteLeaves(std::vector<NodePtr>* leaves)
      : before_(std::exchange(unrecorded_leaves, leaves)) {}
  ~NoteLeaves() { unrecorded_leaves = before_; }
  NoteLeaves(const NoteLeaves&) = delete;
  NoteLeaves& operator=(const NoteLeaves&) = delete;

 private:
  std::vector<NodePtr>* before_;
};

/// A call of Variable::backward().
class Pass {
 public:
  Pass() : outermost_(running_pass == 0) {
    static std::atomic<uint64_t> counter{0};
    if (outermost_) running_pass = ++counter;
  }
  ~Pass() {
    if (outermost_) running_pass = 0;
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  /// Notes that a leaf with a callback may get a gradient. Only the outermost pass knows all
  /// gradients that may come.
  void expect(const NodePtr& node) {
    if (outermost_ && node->on_complete) ++expected_[node.get()];
  }
  /// Notes that an expected gradient has arrived, or never will.
  void arrived(const NodePtr& node) {
    if (!outermost_ || !node->on_complete) return;
    const auto left = expected_.find(node.get());
    if (left == expected_.end() || --left->second > 0) return;
    node->completed_pass = running_pass;
    node->on_complete();
  }

 private:
  bool outermost_;
  std::unordered_map<const GradSlot::Node*, int64_t> expected_;
};

/// The nodes that backward visits from `root` on, latest first.
std::vector<NodePtr> in_backward_order(const NodePtr& root, Pass& pass) {
  std::vector<NodePtr> order, pending = {root};
  std::unordered_set<const GradSlot::Node*> seen = {root.get()};
  while (!pending.empty()) {
    NodePtr node = std::move(pending.back());
    pending.pop_back();
    for (const NodePtr& input : node->inputs) {
      pass.expect(input);
      if (seen.insert(input.get()).second) pending.push_back(input);
    }
    order.push_back(std::move(node));
  }
  std::sort(order.begin(), order.end(),
            [](const NodePtr& a, const NodePtr& b) { return a->sequence > b->sequence; });
  return order;
}

}  // namespace

void GradSlot::accumulate(const Tensor& grad) const {
  if (!wanted()) return;
  Node& node = *node_;
  SSA_CHECK(grad.shape() == node.shape, "backward: gradient {} for a value of shape {}",
            to_string(grad.shape()), to_string(node.shape));
  node.require_incomplete();
  if (!node.has_grad && node.leaf) {
    backend(node.device).copy(grad, node.buffer());
  } else if (!node.has_grad) {
    node.grad = grad;
  } else if (node.writable()) {
    backend(node.device).add(node.grad, grad, node.grad);
  } else {  // another slot holds the same tensor, which must not change
    Tensor total = Tensor::empty_like(node.grad);
    backend(node.device).add(node.grad, grad, total);
    node.grad = total;
  }
  node.has_grad = true;
}

GradSlot::Target GradSlot::target() const {
  Node& node = *node_;
  node.require_incomplete();
  if (node.has_grad && !node.writable()) {
    Tensor own = Tensor::empty_like(node.grad);
    backend(node.device).copy(node.grad, own);
    node.grad = own;
  }
  const bool accumulate = node.has_grad;
  node.has_grad = true;
  return {node.buffer(), accumulate};
}

Tensor GradSlot::zeroed_target() const {
  Target result = target();
  if (!result.accumulate) backend(result.tensor.device()).fill(result.tensor, 0.0);
  return result.tensor;
}

Variable::Variable(Tensor value, bool requires_grad) : value_(std::move(value)) {
  if (requires_grad) node_ = std::make_shared<GradSlot::Node>(value_, true);
}

Tensor Variable::grad() const { return node_ && node_->has_grad ? node_->grad : Tensor(); }

void Variable::zero_grad() const {
  if (node_) node_->has_grad = false;
}

void Variable::release_grad() const {
  zero_grad();
  if (node_ && !node_->given_buffer) node_->grad = {};
}

void Variable::set_grad_buffer(const Tensor& buffer) const {
  SSA_CHECK(node_ && node_->leaf, "set_grad_buffer: only leaves keep their gradients");
  SSA_CHECK(buffer.defined() && buffer.is_contiguous() && buffer.shape() == node_->shape &&
                buffer.dtype() == node_->dtype && buffer.device() == node_->device,
            "set_grad_buffer: the buffer must be a contiguous {} tensor {} on the {} backend",
            name(node_->dtype), to_string(node_->shape), name(node_->device));
  node_->grad = buffer;
  node_->given_buffer = true;
  node_->has_grad = false;
}

void Variable::on_grad_complete(std::function<void()> complete) const {
  SSA_CHECK(node_ && node_->leaf, "on_grad_complete: only leaves keep their gradients");
  node_->on_complete = std::move(complete);
}

Variable Variable::record(Tensor value, const std::vector<Variable>& inputs,
                          std::function<void(const Tensor& grad)> backward) {
  Variable result(std::move(value));
  if (!recording) {
    for (const Variable& input : inputs) note_unrecorded(input.node_);
    return result;
  }
  std::vector<NodePtr> nodes;
  for (const Variable& input : inputs) {
    if (input.node_) nodes.push_back(input.node_);
  }
  if (nodes.empty()) return result;
  result.node_ = std::make_shared<GradSlot::Node>(result.value_, false);
  result.node_->inputs = std::move(nodes);
  result.node_->backward = std::move(backward);
  return result;
}

void Variable::backward(const Tensor& grad) const {
  SSA_CHECK(node_ != nullptr, "backward: nothing here needs a gradient");
  Pass pass;
  std::vector<NodePtr> order = in_backward_order(node_, pass);
  pass.expect(node_);
  GradSlot(node_).accumulate(grad);
  pass.arrived(node_);
  for (NodePtr& node : order) {
    if (node->leaf) continue;
    const auto inputs = std::exchange(node->inputs, {});
    // Moves the function out of the node, so that its saved tensors are freed as soon as it has
    // run.
    auto run = std::exchange(node->backward, nullptr);
    if (node->has_grad && run) {
      node->has_grad = false;
      const Tensor arrived = std::exchange(node->grad, Tensor());
      run(arrived);
      run = nullptr;
      node.reset();
    }
    for (const NodePtr& input : inputs) pass.arrived(input);
  }
}

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
bool grad_enabled() { return recording; }

Variable recompute(const std::function<Variable(const Variable&)>& function,
                   const Variable& input) {
  Variable result;
  std::vector<NodePtr> inputs;  // the leaves that the function uses, then its input
  {
    const NoteLeaves notes(recording ? &inputs : unrecorded_leaves);
    const NoGrad guard;
    const Variable output = function(Variable(input.value()));
    note_unrecorded(output.node_);
    result = Variable(output.value());
  }
  if (!recording) note_unrecorded(input.node_);
  if (!recording) return result;
  // On the tape even if the input needs no gradient: parameters inside the function may.
  result.node_ = std::make_shared<GradSlot::Node>(result.value_, false);
  if (input.node_) inputs.push_back(input.node_);
  result.node_->inputs = std::move(inputs);
  result.node_->backward = [function, saved = input.value(),
                            to_input = input.slot()](const Tensor& grad) {
    const Variable again(saved, to_input.wanted());
    const Variable output = function(again);
    if (output.requires_grad()) output.backward(grad);
    const Tensor grad_input = again.grad();
    if (grad_input.defined()) to_input.accumulate(grad_input);
  };
  return result;
}

}  // namespace ssa
