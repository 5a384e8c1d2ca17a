#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "ssa/sampling/source_plan.h"

namespace ssa {

/// Draws the plans of coming steps in a background thread, so that a training step finds them
/// ready. Plans are pure functions of their keys: what is popped does not depend on timing.
class PlanQueue {
 public:
  /// `draw(step)` gives the plans of all layers of a step; it is called from the background thread
  /// only, once a step, in order, for first_step ≤ step < last_step_exclusive. At most `depth`
  /// steps (at least 1) are kept ready.
  PlanQueue(std::function<std::vector<SourcePlan>(int64_t step)> draw, int64_t first_step,
            int64_t last_step_exclusive, size_t depth = 2);
  /// Stops and joins; waits at most for the step that is being drawn.
  ~PlanQueue();
  PlanQueue(const PlanQueue&) = delete;
  PlanQueue& operator=(const PlanQueue&) = delete;

  /// The plans of `step`; waits until they are drawn. Steps are popped one after the other from
  /// first_step on: throws Error (exit code 2) for any other. If draw() threw, the pop of that step
  /// and each later one rethrow what it threw; the steps before it are still served.
  std::vector<SourcePlan> pop(int64_t step);

 private:
  void draw_all();

  const std::function<std::vector<SourcePlan>(int64_t)> draw_;
  const int64_t first_step_;
  const int64_t last_step_;  // exclusive
  const size_t depth_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<SourcePlan>> ready_;  // of steps next_pop_, next_pop_ + 1, ...
  std::exception_ptr failure_;
  int64_t next_pop_;
  bool stop_ = false;
  std::thread thread_;  // last: starts when everything else is in place
};

}  // namespace ssa
