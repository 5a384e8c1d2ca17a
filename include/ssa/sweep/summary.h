#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/report/published.h"
#include "ssa/sweep/sweep.h"

namespace ssa {

/// A cell of the summary.
struct SummaryCell {
  std::string key;       ///< for CSV and JSON: "compute_ratio"
  std::string heading;   ///< for the terminal: "C"; empty: not shown there
  nlohmann::json value;  ///< null: missing
  std::string text;      ///< for the terminal
};
/// One row per point, all with the same keys in the same order.
using SummaryTable = std::vector<std::vector<SummaryCell>>;

/// The results of every point, read from its run folder, beside the paper's. M and S are relative
/// to the dense point whose config is the same except for `ssa` and, if there is none, the seed.
SummaryTable summarize(const SweepOptions& options, const std::vector<SweepPoint>& points,
                       const PublishedResults& published);

/// One row for the points that differ in train.seed only: the mean of each number and, as a cell of
/// its own named KEY_spread, its standard deviation over the seeds. Empty unless some do.
SummaryTable over_seeds(const SummaryTable& table, const std::vector<SweepPoint>& points);

/// Aligned columns, without those that are empty in every row.
std::string to_text(const SummaryTable& table);
/// A heading and one line per point, quoted as in RFC 4180.
std::string to_csv(const SummaryTable& table);
/// A list with one object per point.
nlohmann::json to_json(const SummaryTable& table);

}  // namespace ssa
