#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ssa/report/run_data.h"

namespace ssa::report {

/// A score of a run, with what a reader has to know about it.
struct Score {
  double value = 0;
  std::string about;  ///< "test split, renorm, 207,704 tokens"
};

/// The score that a reader asks for first: of the test split if there is one, else of the valid
/// split, else the best validation of the training; of dense inference and of ensembles the better.
/// Nothing if the run has none.
std::optional<Score> headline_score(const Run& run);

/// The score by which the runs of a page compare.
struct CommonScore {
  std::string name = {};                      ///< "test bits per byte, renorm"
  std::vector<std::optional<double>> values;  ///< of each run
  bool higher_is_better = false;

  bool is_better(double a, double b) const { return higher_is_better ? a > b : a < b; }
  /// The index of the best run; nothing if none has the score.
  std::optional<size_t> best() const;
};

/// The mean over runs that differ in the seed only, and how they vary.
struct SeedSpread {
  double mean = 0;
  double deviation = 0;  ///< sample standard deviation; 0 for a single run
  size_t count = 0;
};
/// Of the runs with these indices; nothing if none has the score.
std::optional<SeedSpread> spread_of(const CommonScore& score, const std::vector<size_t>& runs);
/// "0.284 ± 0.003"; of a single run the score.
std::string to_text(const SeedSpread& spread);

/// Of the scores that can be compared over the runs, the one that most of them have: that of the
/// test split, renorm or ensemble, that of the valid split, or the last validation of the training.
/// No run has it if the runs are about different data.
CommonScore common_score(const std::vector<Run>& runs);

}  // namespace ssa::report
