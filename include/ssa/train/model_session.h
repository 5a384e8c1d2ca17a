#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssa/storage/checkpoint.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// A model with its parameters on a device: for training, evaluation and generation.
class ModelSession {
 public:
  /// Initialises the parameters from train.seed. Throws ConfigError if the device cannot compute in
  /// train.precision.
  ModelSession(const Task& task, Device device);

  Device device() const { return parameters_.device(); }
  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  const Model& model() const { return *model_; }
  /// Loads the parameters of a checkpoint. Throws CheckpointError naming the parameter if names or
  /// shapes differ from the model's.
  void load(const SafetensorsFile& file);
  /// Throws DivergedError naming `checkpoint` and the first parameter with an element that is not
  /// finite.
  void require_finite(const std::string& checkpoint) const;
  std::vector<NamedTensor> named_parameters() const;

 private:
  ParameterStore parameters_;
  std::unique_ptr<Model> model_;
};

/// Fills tensors from the file's tensors of the same names. Throws CheckpointError naming the
/// tensor if one is missing or has another shape, and if the file has more.
void load_parameters(const SafetensorsFile& file, const std::vector<NamedTensor>& parameters);

/// Throws DivergedError naming `checkpoint`, the tensor and its first element that is not finite.
void require_finite(const NamedTensor& tensor, const std::string& checkpoint);

/// `auto`, `cpu`, `cuda` or `reference`; auto is the fastest device of this build and machine.
Device device_from_name(const std::string& text);

/// The weights that people get of a checkpoint: their moving average if it has one
/// (train.ema_decay), which the log then says, otherwise the trained weights.
const SafetensorsFile& best_weights(const LoadedCheckpoint& checkpoint);

/// Opens a checkpoint of a run: `latest` (the newest valid one, as latest_checkpoint_of()), `best`
/// or `step-N`. For `--run` with `--checkpoint`.
LoadedCheckpoint checkpoint_of(const std::string& run_dir, const std::string& name);

/// Opens what `--run` or `--checkpoint` names for reading: the newest valid checkpoint of a run
/// folder. Throws CheckpointError if there is none; warns on the log about damaged ones.
LoadedCheckpoint latest_checkpoint_of(const std::string& run_dir);

}  // namespace ssa
