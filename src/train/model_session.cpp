#include "ssa/train/model_session.h"

#include <algorithm>
#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/models/precision.h"

namespace ssa {

namespace {

/// Throws ConfigError if the device cannot compute in this precision.
void require_precision(Precision precision, Device device) {
  if (backend(device).supports(to_dtype(precision))) return;
  throw ConfigError(
      "train.precision: the {} backend does not compute in {}; add --set train.precision=bf16 "
      "(or fp32)",
      name(device), choices(precision)[static_cast<size_t>(precision)]);
}

}  // namespace

ModelSession::ModelSession(const Task& task, Device device)
    : parameters_(device, DType::f32, task.config().train.seed) {
  require_precision(task.config().train.precision, device);
  model_ = task.make_model(parameters_);
}

void load_parameters(const SafetensorsFile& file, const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& parameter : parameters) {
    Tensor target = parameter.tensor;
    file.load_into(parameter.name, target);
  }
  if (file.names().size() != parameters.size()) {
    throw CheckpointError("{}: holds {} tensors, the config's model has {}: not the same model",
                          file.path(), file.names().size(), parameters.size());
  }
}

void ModelSession::load(const SafetensorsFile& file) { load_parameters(file, named_parameters()); }

void require_finite(const NamedTensor& tensor, const std::string& checkpoint) {
  const Tensor values = tensor.tensor.on_host();
  const float* const begin = values.data<float>();
  const float* const end = begin + values.numel();
  const float* const found =
      std::find_if(begin, end, [](float value) { return !std::isfinite(value); });
  if (found == end) return;
  throw DivergedError(
      "{}: element {} of {} is {}: the run has diverged, and this checkpoint is of no use. Name an "
      "earlier one",
      checkpoint, found - begin, tensor.name, *found);
}

void ModelSession::require_finite(const std::string& checkpoint) const {
  for (const NamedTensor& parameter : named_parameters()) {
    ssa::require_finite(parameter, checkpoint);
  }
}

std::vector<NamedTensor> ModelSession::named_parameters() const {
  std::vector<NamedTensor> named;
  for (const Parameter& parameter : parameters_.all()) {
    named.push_back({parameter.name, parameter.variable.value()});
  }
  return named;
}

Device device_from_name(const std::string& text) {
  if (text == "auto") return is_usable(Device::cuda) ? Device::cuda : Device::cpu;
  if (text == "cpu") return Device::cpu;
  if (text == "reference") return Device::reference;
  if (text == "cuda") return backend(Device::cuda).device();  // or says why not
  throw ConfigError("--device {}: there are auto, cpu, cuda and reference", text);
}

const SafetensorsFile& best_weights(const LoadedCheckpoint& checkpoint) {
  if (!checkpoint.average) return checkpoint.model;
  spdlog::info("{}: using the moving average of its weights (train.ema_decay)", checkpoint.path);
  return *checkpoint.average;
}

LoadedCheckpoint checkpoint_of(const std::string& run_dir, const std::string& name) {
  return name == "latest" ? latest_checkpoint_of(run_dir) : open_checkpoint(run_dir, name);
}

LoadedCheckpoint latest_checkpoint_of(const std::string& run_dir) {
  std::vector<std::string> warnings;
  auto checkpoint = find_latest_checkpoint(run_dir, &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (!checkpoint) {
    throw CheckpointError("{}: no checkpoint in {}/checkpoints; train first, or name another run",
                          run_dir, run_dir);
  }
  return std::move(*checkpoint);
}

}  // namespace ssa
