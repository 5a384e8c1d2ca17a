#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/tasks/analysis.h"

namespace ssa {

/// Tables by their keys: {"reliability": {"title", "about", "drawing", "columns": [{"key",
/// "label"}], "rows": [{"confidence": …, …}, …]}, …}. A row has its cells by their columns' keys; a
/// number that is not finite is null.
nlohmann::json to_json(const std::vector<EvalTable>& tables);

/// Reads them back, sorted by key; null becomes NaN. Whatever has another form is left out, and
/// rows past the first 100,000.
std::vector<EvalTable> tables_from_json(const nlohmann::json& json);

}  // namespace ssa
