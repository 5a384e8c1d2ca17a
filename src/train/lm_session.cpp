#include "ssa/train/lm_session.h"

#include <spdlog/spdlog.h>

#include "ssa/models/cost.h"

namespace ssa {

DType to_dtype(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return DType::f32;
    case Precision::bf16:
      return DType::bf16;
    case Precision::fp16:
      return DType::f16;
  }
  return DType::f32;
}

namespace {

/// Throws ConfigError if the device cannot compute in it.
DType activation_dtype(Precision precision, Device device) {
  const DType dtype = to_dtype(precision);
  if (!backend(device).supports(dtype)) {
    throw ConfigError(
        "train.precision: the {} backend does not compute in {}; add --set train.precision=bf16 "
        "(or fp32)",
        name(device), choices(precision)[static_cast<size_t>(precision)]);
  }
  return dtype;
}

}  // namespace

LmSession::LmSession(const Config& config, Device device)
    : parameters_(device, DType::f32, config.train.seed) {
  const DType activations = activation_dtype(config.train.precision, device);
  model_ = std::make_unique<DecoderLm>(config.model, vocabulary_size(config), parameters_);
  model_->set_precision(activations);
  model_->set_activation_checkpointing(config.train.activation_checkpointing);
}

void LmSession::load(const SafetensorsFile& file) {
  for (const Parameter& parameter : parameters_.all()) {
    Tensor target = parameter.variable.value();
    file.load_into(parameter.name, target);
  }
  if (file.names().size() != parameters_.all().size()) {
    throw CheckpointError("{}: holds {} tensors, the config's model has {}: not the same model",
                          file.path(), file.names().size(), parameters_.all().size());
  }
}

std::vector<NamedTensor> LmSession::named_parameters() const {
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
