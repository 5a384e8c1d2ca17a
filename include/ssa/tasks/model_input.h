#pragma once

#include "ssa/data/batch.h"
#include "ssa/models/model.h"

namespace ssa {

/// A field where the model reads it: on the device, or in host memory.
Tensor to_tensor(const BatchField& field, const Model& model, Device device);
/// A batch and plans where the model reads them. Waits; for evaluation, which has no step to
/// overlap with (training: StepTransfer).
ModelInput to_input(const Batch& batch, const std::vector<PlanTensors>& plans, const Model& model,
                    Device device);

}  // namespace ssa
