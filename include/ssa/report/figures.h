#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ssa/report/run_data.h"

namespace ssa::report {

/// The figures by which the page and the table of a sweep compare a run with others and with the
/// paper. A figure that is not known is not set. Scores are in the task's metric.
struct Figures {
  std::optional<double> train_loss;     ///< last one logged, in nats
  std::optional<double> valid;          ///< last validation of the training
  std::optional<double> whole_valid;    ///< over the whole split: by ssa-eval, else by the training
  std::optional<double> best_valid;     ///< best validation of the training, on the whole split
  std::optional<double> test;           ///< by ssa-eval, dense
  std::optional<double> ensemble_test;  ///< by ssa-eval
  std::optional<int64_t> ensemble_samples;
  std::optional<double> compute;  ///< C: training compute relative to dense attention
  std::optional<double> memory;   ///< M: peak memory relative to the dense run
  std::optional<double> speed;    ///< S: tokens per second relative to the dense run
};

/// The figures of each run. M and S are relative to the run's dense_partner() among the runs.
std::vector<Figures> figures_of(const std::vector<Run>& runs);

}  // namespace ssa::report
