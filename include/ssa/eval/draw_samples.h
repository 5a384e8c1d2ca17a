#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ssa/eval/evaluate.h"

namespace ssa {

/// A file that a training shows to people.
struct Sample {
  std::string suffix;  ///< of its name: "png" or "txt"
  std::string bytes;
};

struct SampleOptions {
  int64_t count = 1;
  int64_t next_example = 0;  ///< of the training set: the first of the coming step
  Device device = Device::cpu;
  const TaskData* data = nullptr;  ///< drawn_texts: whose vocabulary the tokens are of
  /// Called as by evaluate(); the drawing stops if it returns false.
  std::function<bool(const EvalProgress&)> progress = {};
};

/// Draws samples of the kind that the task's traits say into one file:
///
/// drawn_pictures: the model, an ImageDecoder, draws them whole and with dense attention. The
/// random numbers are those of train.seed alone, so that samples of later weights can be compared
/// with those of earlier ones.
/// drawn_texts: the model, a DecoderLm, continues train.sample_prompt by train.sample_length
/// tokens, with dense attention. Text i of every step has the same random numbers, those of
/// train.seed + i. The bytes of a byte_lm need not be UTF-8. training_pictures: the next examples
/// of the training set, as the model sees them.
///
/// Neither weights nor the random numbers of training change. Returns nothing if `progress` stopped
/// it. Throws ShapeError for a task without samples.
std::optional<Sample> draw_samples(const Task& task, const Model& model,
                                   const TrainingSet& training, const SampleOptions& options);

}  // namespace ssa
