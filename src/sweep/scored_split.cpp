#include "ssa/sweep/scored_split.h"

#include <set>

#include "ssa/core/error.h"
#include "ssa/tasks/task.h"

namespace ssa {

namespace {

/// Whether each item of the test split can be scored. Throws DataError if the split is empty.
bool has_targets(const TaskData& data, const Config& config) {
  const std::unique_ptr<EvalSet> set = data.evaluation(config, Split::test, 0);
  for (int64_t item = 0; item < set->items(); ++item) {
    if (set->terms(item) == 0) return false;
  }
  return true;
}

bool test_can_be_scored(const Config& config) {
  std::unique_ptr<TaskData> data;
  try {
    data = make_task(config)->open_data();
  } catch (const DataError&) {  // not on this machine: the training will say what is wrong
    return true;
  }
  try {
    return has_targets(*data, data->settled(config));
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

Split split_to_score(const std::vector<SweepPoint>& points) {
  std::set<std::string> seen;
  for (const SweepPoint& point : points) {
    if (!seen.insert(point.config.data.path).second) continue;
    if (!test_can_be_scored(point.config)) return Split::valid;
  }
  return Split::test;
}

}  // namespace ssa
