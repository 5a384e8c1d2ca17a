#pragma once

#include "apps/eval_options.h"

namespace ssa {

// What ssa-eval does with a model once it is open, on every rank. The functions return the exit
// code.

/// Scores each split of the data that there is.
int score_all_splits(Communicator& ranks, const OpenModel& model, const Options& options);
/// Scores one split, or the text of --text; with --compare another model too.
int score_one(Communicator& ranks, const OpenModel& model, const Options& options);

/// Writes, for each window and sub-model, the part of the model's strongest connections that the
/// sub-model's plans have sampled, and prints how that goes with its loss.
int study_coverage(Communicator& ranks, const OpenModel& model, const Options& options);

/// Warns, before a long evaluation, if its result cannot be stored in the run folder.
void warn_of_read_only(const std::string& run);

}  // namespace ssa
