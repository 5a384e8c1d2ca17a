#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ssa/eval/evaluate.h"

namespace ssa {

/// A file that shows what a model makes.
struct Sample {
  std::string suffix;  ///< of its name: "png"
  std::string bytes;
};

/// Draws `count` samples, whole and with dense attention, into one file of the kind that the task
/// says. The random numbers are those of train.seed alone, so that samples of later weights can be
/// compared with those of earlier ones. Neither weights nor the random numbers of training change.
/// Calls `progress` as evaluate() does; returns nothing if it returns false. Throws ShapeError for
/// a task whose sample_kind() is none.
std::optional<Sample> draw_samples(const Task& task, const Model& model, int64_t count,
                                   Device device,
                                   const std::function<bool(const EvalProgress&)>& progress = {});

}  // namespace ssa
