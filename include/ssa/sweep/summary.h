#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/report/published.h"
#include "ssa/sweep/sweep.h"

namespace ssa {

/// One entry of the summary. A `value` of null is missing.
struct SummaryCell {
  std::string key;      ///< for CSV and JSON: "compute_ratio"
  std::string heading;  ///< for the terminal: "C"; empty: not shown there
  nlohmann::json value;
  std::string text;  ///< for the terminal
};
/// A row a point, all with the same keys in the same order.
using SummaryTable = std::vector<std::vector<SummaryCell>>;

/// What is known of every point from its run folder, and what the paper has for it. M and S are
/// relative to the dense point whose config is the same but for `ssa` and, if need be, the seed.
SummaryTable summarize(const SweepOptions& options, const std::vector<SweepPoint>& points,
                       const PublishedResults& published);

/// Aligned columns; those that are empty in every row are left out.
std::string to_text(const SummaryTable& table);
/// A heading and a line a point, quoted as RFC 4180 says.
std::string to_csv(const SummaryTable& table);
/// A list of objects.
nlohmann::json to_json(const SummaryTable& table);

}  // namespace ssa
