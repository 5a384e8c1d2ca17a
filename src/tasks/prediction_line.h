#pragma once

#include <string>

#include "ssa/tasks/analysis.h"

namespace ssa {

// Lines of a file of predictions. Those of ensembles also have the sub-models' standard deviations:
// "spread": […].

/// {"index", "prediction": […]}
std::string value_line(const ItemPrediction& prediction);
/// {"index", "losses": […]}, from log-probabilities of the right tokens or sub-pixels.
std::string loss_line(const ItemPrediction& prediction);

}  // namespace ssa
