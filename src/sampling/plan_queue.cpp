#include "ssa/sampling/plan_queue.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"

namespace ssa {

PlanQueue::PlanQueue(std::function<std::vector<SourcePlan>(int64_t step)> draw, int64_t first_step,
                     int64_t last_step_exclusive, size_t depth)
    : draw_(std::move(draw)),
      first_step_(first_step),
      last_step_(last_step_exclusive),
      depth_(std::max<size_t>(depth, 1)),
      next_pop_(first_step),
      thread_([this] { draw_all(); }) {}

PlanQueue::~PlanQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void PlanQueue::draw_all() {
  for (int64_t step = first_step_; step < last_step_; ++step) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || ready_.size() < depth_; });
      if (stop_) return;
    }
    std::vector<SourcePlan> plans;
    std::exception_ptr failure;
    try {
      plans = draw_(step);
    } catch (...) {
      failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      if (failure) {
        failure_ = std::move(failure);
      } else {
        ready_.push_back(std::move(plans));
      }
    }
    changed_.notify_all();
    if (failure_) return;  // written by this thread only
  }
}

std::vector<SourcePlan> PlanQueue::pop(int64_t step) {
  std::unique_lock lock(mutex_);
  if (step != next_pop_ || step >= last_step_) {
    throw Error(
        ExitCode::usage,
        fmt::format("PlanQueue::pop: step {} was asked for, {}; make a new queue to go on "
                    "from another step",
                    step,
                    next_pop_ < last_step_ ? fmt::format("the next one is {}", next_pop_)
                                           : fmt::format("the last one was {}", last_step_ - 1)));
  }
  changed_.wait(lock, [this] { return !ready_.empty() || failure_; });
  if (ready_.empty()) std::rethrow_exception(failure_);
  std::vector<SourcePlan> plans = std::move(ready_.front());
  ready_.pop_front();
  ++next_pop_;
  lock.unlock();
  changed_.notify_all();
  return plans;
}

}  // namespace ssa
