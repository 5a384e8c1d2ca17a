#include "ssa/train/step_transfer.h"

#include <cstring>
#include <utility>

#include "ssa/tasks/model_input.h"

namespace ssa {

namespace {

constexpr size_t kAlignment = 64;  // bytes: where each field and plan begins

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void append(std::vector<std::byte>& buffer, const void* from, size_t bytes) {
  const size_t at = buffer.size();
  buffer.resize(at + aligned(bytes));
  if (bytes > 0) std::memcpy(buffer.data() + at, from, bytes);
}
void append(std::vector<std::byte>& buffer, const std::vector<int32_t>& positions) {
  append(buffer, positions.data(), positions.size() * sizeof(int32_t));
}

/// Takes tensors from a buffer in the order in which they were appended.
class BufferReader {
 public:
  explicit BufferReader(const Tensor& buffer) : buffer_(buffer) {}
  Tensor next(DType dtype, const Shape& shape) {
    const size_t bytes = static_cast<size_t>(shape.numel()) * size_of(dtype);
    const Tensor part = buffer_.slice(0, static_cast<int64_t>(at_), static_cast<int64_t>(bytes));
    at_ += aligned(bytes);
    return part.view_as(dtype).view(shape);
  }

 private:
  const Tensor& buffer_;
  size_t at_ = 0;
};

/// The dimensions of everything in an item, each list with its length in front.
std::vector<int64_t> shapes_of(const StepItem& item) {
  std::vector<int64_t> shapes;
  for (const Batch& batch : item.micro_batches) {
    shapes.push_back(batch.examples());
    for (const BatchField& field : batch.fields()) {
      shapes.push_back(field.shape().rank());
      for (const int64_t extent : field.shape().dims()) shapes.push_back(extent);
    }
  }
  for (const SourcePlan& plan : item.plans) {
    shapes.insert(shapes.end(), {plan.windows, plan.targets_per_window, plan.sources_per_window});
  }
  return shapes;
}

}  // namespace

void StepTransfer::send(const StepItem& item) {
  staged_.clear();
  for (const Batch& batch : item.micro_batches) {
    for (const BatchField& field : batch.fields()) {
      if (model_.reads_on_host(field.name())) continue;
      append(staged_, field.bytes().data(), field.bytes().size());
    }
  }
  for (const SourcePlan& plan : item.plans) {
    append(staged_, plan.targets);
    append(staged_, plan.sources);
  }
  sent_ = item;
  sent_shapes_ = shapes_of(item);
  if (!lane_ || staged_.size() > lane_bytes_) {
    lane_.reset();
    lane_ = device_memory(device_).open_lane(staged_.size());
    lane_bytes_ = staged_.size();
  }
  lane_->send(staged_.data(), staged_.size());
  waiting_ = true;
}

const std::vector<ModelInput>& StepTransfer::receive() {
  SSA_CHECK(waiting_, "train step: no inputs were sent for it");
  waiting_ = false;
  auto found = received_.find(sent_shapes_);
  if (found == received_.end()) {
    if (received_.size() == kMostShapes) received_.clear();  // the shapes may never come back
    found = received_.emplace(sent_shapes_, make_tensors()).first;
  }
  Received& received = found->second;
  last_shapes_ = sent_shapes_;
  lane_->receive(received.buffer.raw(), staged_.size());
  for (size_t m = 0; m < received.inputs.size(); ++m) {
    for (auto& [name, tensor] : received.inputs[m].fields) {
      if (model_.reads_on_host(name)) {
        tensor = to_tensor(sent_.micro_batches[m].field(name), model_, device_);
      }
    }
  }
  return received.inputs;
}

std::vector<double> StepTransfer::identity() const {
  std::vector<double> identity(last_shapes_.begin(), last_shapes_.end());
  const Tensor& buffer = received_.at(last_shapes_).buffer;
  identity.push_back(static_cast<double>(reinterpret_cast<uintptr_t>(std::as_const(buffer).raw())));
  return identity;
}

StepTransfer::Received StepTransfer::make_tensors() const {
  Received received;
  received.buffer = Tensor::empty({static_cast<int64_t>(staged_.size())}, DType::u8, device_,
                                  MemoryCategory::data);
  BufferReader reader(received.buffer);
  for (const Batch& batch : sent_.micro_batches) {
    ModelInput& input = received.inputs.emplace_back();
    input.examples = batch.examples();
    for (const BatchField& field : batch.fields()) {
      const bool on_host = model_.reads_on_host(field.name());
      input.fields.emplace_back(field.name(),
                                on_host ? Tensor() : reader.next(field.dtype(), field.shape()));
    }
  }
  std::vector<PlanTensors> plans;
  for (const SourcePlan& plan : sent_.plans) {
    const Tensor targets = reader.next(DType::i32, {plan.windows, plan.targets_per_window});
    plans.push_back({targets, reader.next(DType::i32, {plan.windows, plan.sources_per_window})});
  }
  for (ModelInput& input : received.inputs) input.plans = plans;
  return received;
}

}  // namespace ssa
