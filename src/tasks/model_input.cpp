#include "ssa/tasks/model_input.h"

namespace ssa {

Tensor to_tensor(const BatchField& field, const Model& model, Device device) {
  const bool on_host = !is_host(device) && model.reads_on_host(field.name());
  const Device where = on_host ? Device::cpu : device;
  Tensor tensor = Tensor::empty(field.shape(), field.dtype(), where, MemoryCategory::data);
  device_memory(where).copy_in(tensor.raw(), field.bytes().data(), field.bytes().size());
  return tensor;
}

ModelInput to_input(const Batch& batch, const std::vector<PlanTensors>& plans, const Model& model,
                    Device device) {
  ModelInput input{batch.examples(), {}, plans};
  for (const BatchField& field : batch.fields()) {
    input.fields.emplace_back(field.name(), to_tensor(field, model, device));
  }
  return input;
}

}  // namespace ssa
