#pragma once

// A small but complete task: which of two symbols is more frequent in a sequence? Its data is
// drawn, its model has two blocks of attention, and its score is a count. docs/how-to/add-a-task.md
// explains it.

#include "ssa/tasks/task.h"

namespace ssa::testing {

/// Fields of a batch: `symbols` (B, N) i32, each 0 or 1; `label` (B) i32.
class MajorityTask : public Task {
 public:
  explicit MajorityTask(const Config& config) : Task(config) {}

  const TaskTraits& traits() const override;
  int64_t terms_per_example() const override { return 1; }
  std::unique_ptr<Model> make_model(ParameterStore& store) const override;
  std::vector<PlanSpec> plan_specs(Sources sources, Use use) const override;
  Batch typical_batch(int64_t examples) const override;
  std::unique_ptr<TaskData> open_data() const override;
};

inline std::unique_ptr<Task> make_majority_task(const Config& config) {
  return std::make_unique<MajorityTask>(config);
}

}  // namespace ssa::testing
