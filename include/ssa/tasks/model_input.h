#pragma once

#include "ssa/data/batch.h"
#include "ssa/models/model.h"

namespace ssa {

/// Copies a field to where the model reads it: to the device, or to host memory.
Tensor to_tensor(const BatchField& field, const Model& model, Device device);
/// Copies a batch and plans to where the model reads them, and waits. For evaluation and counts;
/// training copies while a step runs (StepTransfer).
ModelInput to_input(const Batch& batch, const std::vector<PlanTensors>& plans, const Model& model,
                    Device device);

}  // namespace ssa
