#pragma once

#include <string>

#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

namespace ssa::testing {

/// Trains in a folder as ssa-train does, on one rank.
inline TrainOutcome train(const Config& config, const std::string& folder,
                          const std::string& resume = "none", Device device = Device::cpu) {
  const StopSignal stop;
  Trainer trainer(config, {folder, resume, device});
  return trainer.train();
}

}  // namespace ssa::testing
