#pragma once

#include <memory>
#include <vector>

#include "ssa/data/lm_batch.h"
#include "ssa/models/decoder_lm.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

/// What a training step reads, on the device.
struct StepTensors {
  int64_t sequences = 0, length = 0;  ///< B, N
  Tensor ids, targets;                ///< (B·N) i32, where the model reads tokens
  std::vector<PlanTensors> plans;     ///< one per layer
};

/// Brings the inputs of steps to the device: those of a step while the one before is computed.
class StepInputs {
 public:
  /// `model` must outlive it.
  StepInputs(const DecoderLm& model, Device device) : model_(model), device_(device) {}

  /// For the next step; what was sent before and not received is forgotten.
  void send(const LmBatch& batch, const std::vector<SourcePlan>& plans);
  /// What was sent last. Steps of the same shapes find it in the same tensors, but for tokens that
  /// the model reads on the host. Throws ShapeError if nothing was sent since the last call.
  const StepTensors& receive();
  /// Of what was received last: sequences, length, and each plan's windows, targets and sources.
  const std::vector<int64_t>& shapes() const { return shapes_; }

 private:
  bool tokens_travel() const { return model_.token_device() == device_; }
  void make_room();

  const DecoderLm& model_;
  Device device_;
  std::unique_ptr<InputLane> lane_;
  int64_t lane_room_ = 0;  // numbers
  // Sent last.
  bool waiting_ = false;
  int64_t count_ = 0;              // numbers
  LmBatch batch_;                  // without tokens, if they travel
  std::vector<SourcePlan> plans_;  // without positions
  // Received last.
  std::vector<int64_t> shapes_;
  Tensor together_;  // what the tensors are parts of
  StepTensors tensors_;
};

}  // namespace ssa
