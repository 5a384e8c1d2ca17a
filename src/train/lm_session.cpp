#include "ssa/train/lm_session.h"

#include <spdlog/spdlog.h>

#include "ssa/models/cost.h"

namespace ssa {

namespace {

std::string precision_name(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
  }
  return "?";
}

void require_precision(Precision precision, Device device) {
  if (precision != Precision::fp32) {
    throw ConfigError(
        "train.precision: {} is not built for the {} backend yet; add "
        "--set train.precision=fp32",
        precision_name(precision), name(device));
  }
}

}  // namespace

LmSession::LmSession(const Config& config, Device device)
    : parameters_(device, DType::f32, config.train.seed) {
  require_precision(config.train.precision, device);
  model_ = std::make_unique<DecoderLm>(config.model, vocabulary_size(config), parameters_);
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
  if (text == "auto" || text == "cpu") return Device::cpu;
  if (text == "reference") return Device::reference;
  if (text == "cuda") {
    throw ConfigError("--device cuda: this build has no CUDA backend; use --device cpu");
  }
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
