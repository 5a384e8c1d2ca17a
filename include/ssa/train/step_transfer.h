#pragma once

#include <map>
#include <memory>
#include <vector>

#include "ssa/models/model.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Copies the inputs of steps to the device, all fields and plans as one buffer: those of a step
/// while the step before is computed.
class StepTransfer {
 public:
  /// `model` must outlive it.
  StepTransfer(const Model& model, Device device) : model_(model), device_(device) {}

  /// For the next step; what was sent before and not received is forgotten.
  void send(const StepItem& item);
  /// The micro-batches of what was sent last. Steps of the same shapes find them in the same
  /// tensors, but for fields that the model reads on the host, as long as not more than kMostShapes
  /// come in between. Throws ShapeError if nothing was sent since the last call.
  const std::vector<ModelInput>& receive();
  /// Of what was received last: where it is, and the dimensions of every field and plan. A captured
  /// step may be replayed where this has not changed.
  std::vector<double> identity() const;

  static constexpr size_t kMostShapes = 8;

 private:
  struct Received {
    Tensor buffer;  // (bytes) u8: what the tensors are parts of
    std::vector<ModelInput> inputs;
  };
  Received make_tensors() const;

  const Model& model_;
  Device device_;
  std::unique_ptr<InputLane> lane_;
  size_t lane_bytes_ = 0;
  // Sent last.
  bool waiting_ = false;
  std::vector<std::byte> staged_;  // fields and plans, as they lie in the buffer
  std::vector<int64_t> sent_shapes_;
  StepItem sent_;
  // Received so far, by the shapes of items.
  std::map<std::vector<int64_t>, Received> received_;
  std::vector<int64_t> last_shapes_;
};

}  // namespace ssa
