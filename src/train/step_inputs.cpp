#include "ssa/train/step_inputs.h"

#include "ssa/models/decoder_plans.h"

namespace ssa {

namespace {

SourcePlan without_positions(const SourcePlan& plan) {
  SourcePlan shape;
  shape.positions = plan.positions;
  shape.windows = plan.windows;
  shape.targets_per_window = plan.targets_per_window;
  shape.sources_per_window = plan.sources_per_window;
  return shape;
}

std::vector<int64_t> shapes_of(const LmBatch& batch, const std::vector<SourcePlan>& plans) {
  std::vector<int64_t> shapes = {batch.sequences, batch.length};
  for (const SourcePlan& plan : plans) {
    shapes.insert(shapes.end(), {plan.windows, plan.targets_per_window, plan.sources_per_window});
  }
  return shapes;
}

}  // namespace

void StepInputs::send(const LmBatch& batch, const std::vector<SourcePlan>& plans) {
  SideBySide all;
  batch_ = {batch.sequences, batch.length, {}, {}};
  if (tokens_travel()) {
    all.add(batch.inputs);
    all.add(batch.targets);
  } else {
    batch_ = batch;
  }
  all.add(plans);
  plans_.clear();
  for (const SourcePlan& plan : plans) plans_.push_back(without_positions(plan));

  count_ = static_cast<int64_t>(all.values().size());
  if (!lane_ || count_ > lane_room_) {
    lane_.reset();
    lane_ = device_memory(device_).open_lane(static_cast<size_t>(count_) * sizeof(int32_t));
    lane_room_ = count_;
  }
  lane_->send(all.values().data(), static_cast<size_t>(count_) * sizeof(int32_t));
  waiting_ = true;
}

const StepTensors& StepInputs::receive() {
  SSA_CHECK(waiting_, "train step: no inputs were sent for it");
  waiting_ = false;
  if (shapes_of(batch_, plans_) != shapes_) make_room();
  lane_->receive(together_.raw(), together_.bytes());
  if (!tokens_travel()) {
    tensors_.ids = model_.tokens(batch_.inputs);
    tensors_.targets = model_.tokens(batch_.targets);
  }
  return tensors_;
}

void StepInputs::make_room() {
  shapes_.clear();  // there are none if there is no memory
  together_ = Tensor::empty({count_}, DType::i32, device_, MemoryCategory::data);
  tensors_ = {batch_.sequences, batch_.length, {}, {}, {}};
  Apart parts(together_);
  if (tokens_travel()) {
    const int64_t tokens = batch_.sequences * batch_.length;
    tensors_.ids = parts.next({tokens});
    tensors_.targets = parts.next({tokens});
  }
  tensors_.plans = parts.next_plans(plans_);
  shapes_ = shapes_of(batch_, plans_);
}

}  // namespace ssa
