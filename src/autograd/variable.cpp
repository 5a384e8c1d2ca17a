#include "ssa/autograd/variable.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "ssa/backend/backend.h"

namespace ssa {

struct GradSlot::Node {
  // What a gradient for this node looks like; needed when it is written before any has arrived.
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;

  Tensor grad;  // buffer; holds a gradient only if has_grad
  bool has_grad = false;
  bool leaf = false;      // a parameter: its buffer lives on between steps
  uint64_t sequence = 0;  // order of recording: backward goes from high to low
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
};

namespace {
thread_local bool recording = true;
}

void GradSlot::accumulate(const Tensor& grad) const {
  if (!wanted()) return;
  Node& node = *node_;
  SSA_CHECK(grad.shape() == node.shape, "backward: gradient {} for a value of shape {}",
            to_string(grad.shape()), to_string(node.shape));
  if (!node.has_grad && node.leaf) {
    backend(node.device).copy(grad, node.buffer());
  } else if (!node.has_grad) {
    node.grad = grad;
  } else if (node.grad.unique()) {
    backend(node.device).add(node.grad, grad, node.grad);
  } else {  // another slot holds the same tensor: leave that one as it is
    Tensor total = Tensor::empty_like(node.grad);
    backend(node.device).add(node.grad, grad, total);
    node.grad = total;
  }
  node.has_grad = true;
}

GradSlot::Target GradSlot::target() const {
  Node& node = *node_;
  if (node.has_grad && !node.grad.unique()) {
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

Variable Variable::record(Tensor value, const std::vector<Variable>& inputs,
                          std::function<void(const Tensor& grad)> backward) {
  Variable result(std::move(value));
  if (!recording) return result;
  std::vector<std::shared_ptr<GradSlot::Node>> nodes;
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
  using NodePtr = std::shared_ptr<GradSlot::Node>;
  std::vector<NodePtr> order, pending = {node_};
  std::unordered_set<GradSlot::Node*> seen = {node_.get()};
  while (!pending.empty()) {
    NodePtr node = std::move(pending.back());
    pending.pop_back();
    for (const NodePtr& input : node->inputs) {
      if (seen.insert(input.get()).second) pending.push_back(input);
    }
    order.push_back(std::move(node));
  }
  std::sort(order.begin(), order.end(),
            [](const NodePtr& a, const NodePtr& b) { return a->sequence > b->sequence; });

  GradSlot(node_).accumulate(grad);
  for (NodePtr& node : order) {
    if (node->leaf) continue;
    // Taken out of the node, so that what this op saved is freed as soon as it has run.
    const auto run = std::exchange(node->backward, nullptr);
    node->inputs.clear();
    if (!node->has_grad || !run) continue;
    node->has_grad = false;
    const Tensor arrived = std::exchange(node->grad, Tensor());
    run(arrived);
    node.reset();
  }
}

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
bool grad_enabled() { return recording; }

Variable checkpoint(const std::function<Variable(const Variable&)>& function,
                    const Variable& input) {
  Variable result;
  {
    const NoGrad guard;
    result = Variable(function(Variable(input.value())).value());
  }
  if (!recording) return result;
  // On the tape even if the input needs no gradient: parameters inside the function may.
  result.node_ = std::make_shared<GradSlot::Node>(result.value_, false);
  if (input.node_) result.node_->inputs = {input.node_};
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
