#pragma once

#include <string>

#include "ssa/config/config.h"
#include "ssa/tasks/task.h"
#include "ssa/train/model_session.h"

namespace ssa {

/// The weights that a run began with: train.init_from.
struct InitialWeights {
  std::string path;      ///< of the checkpoint, or of the file
  std::string checksum;  ///< of the file with the weights
  std::string report;    ///< for the log: where they are from, how many, which were left
  std::string warning;   ///< for the log: why they may not mean here what they meant; often empty
};

/// Sets the parameters of a model to those that config.train.init_from names: of a run folder the
/// best checkpoint, if it keeps that, otherwise the newest; a checkpoint folder; or a safetensors
/// file with the names of this engine. The moving average of the weights is taken where there is
/// one. Parameters that match a pattern of init_skip keep their random values.
///
/// Throws ConfigError if there is nothing at the path, and listing the tensors where a parameter is
/// missing in the file, one of the file is not in the model or shapes differ and init_skip names
/// none of them, or where a pattern matches nothing; CheckpointError for a damaged checkpoint or
/// file; DivergedError for weights that are not finite.
InitialWeights load_initial_weights(const Config& config, const DataIdentity& data,
                                    ModelSession& session);

/// Throws ConfigError if `init_from` lies in the run's own folder.
void refuse_own_weights(const std::string& init_from, const std::string& run_dir);

}  // namespace ssa
