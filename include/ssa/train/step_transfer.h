#pragma once

#include <map>
#include <memory>
#include <vector>

#include "ssa/models/model.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Copies the inputs of a step to the device, all fields and plans as one buffer, while the step
/// before it is computed.
class StepTransfer {
 public:
  /// `model` must outlive it.
  StepTransfer(const Model& model, Device device) : model_(model), device_(device) {}

  /// Sends the inputs of the next step. An item that was sent before and not received is lost.
  void send(const StepItem& item);
  /// The micro-batches of the item that was sent last. Items of the same shapes are received in the
  /// same tensors, except for fields that the model reads on the host, and unless more than
  /// kMostShapes other shapes come in between. Throws ShapeError if nothing was sent since the last
  /// call.
  const std::vector<ModelInput>& receive();
  /// The address and all dimensions of the fields and plans that were received last. A captured
  /// step may be replayed if these are the same.
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
