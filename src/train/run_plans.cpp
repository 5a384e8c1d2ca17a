#include "train/run_plans.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "ssa/backend/counting.h"
#include "ssa/train/stepper.h"

namespace ssa {

namespace {

/// An eighth of the range of an int64_t leaves room for the sum of all parts.
constexpr int64_t kMostBytes = std::numeric_limits<int64_t>::max() / 8;

/// A config may need more bytes than an int64_t holds. The plan then says kMostBytes.
int64_t whole_bytes(double bytes) {
  return bytes < static_cast<double>(kMostBytes) ? static_cast<int64_t>(bytes) : kMostBytes;
}

std::vector<int64_t> divisors_descending(int64_t number) {
  std::vector<int64_t> divisors;
  for (int64_t small = 1; small <= number / small; ++small) {
    if (number % small != 0) continue;
    divisors.push_back(small);
    if (small != number / small) divisors.push_back(number / small);
  }
  std::sort(divisors.rbegin(), divisors.rend());
  return divisors;
}

/// The plan of a step that no memory holds, with the parts that are known without taking it.
MemoryPlan beyond_measure(const Task& task) {
  const Count count;
  const Stepper stepper(task, Device::counting);
  const auto bytes = [memory = count.memory()](MemoryCategory category) {
    return memory.bytes[static_cast<size_t>(category)];
  };
  MemoryPlan plan;
  plan.parameters = plan.gradients = bytes(MemoryCategory::parameters);  // both are f32
  plan.optimizer = bytes(MemoryCategory::optimizer);
  plan.activations = plan.workspace = kMostBytes;
  return plan;
}

/// Extrapolates from the plans for a number of examples and for twice as many.
MemoryPlan extrapolated(const MemoryPlan& once, const MemoryPlan& twice, double factor) {
  const auto part = [&](int64_t MemoryPlan::*bytes) {
    const auto first = static_cast<double>(once.*bytes);
    return whole_bytes(first + (static_cast<double>(twice.*bytes) - first) * (factor - 1));
  };
  return {part(&MemoryPlan::parameters),  part(&MemoryPlan::packed_weights),
          part(&MemoryPlan::gradients),   part(&MemoryPlan::optimizer),
          part(&MemoryPlan::activations), part(&MemoryPlan::workspace)};
}

/// Positions that the host lists for a step: the plan of each layer lists its own.
int64_t listed_positions(const Task& task, Sources sources) {
  int64_t listed = 0;
  for (const PlanSpec& spec : task.plan_specs(sources, Use::training)) {
    const PlanShape shape = plan_shape(spec);
    listed += shape.windows * (shape.targets_per_window + shape.sources_per_window);
  }
  return listed;
}

}  // namespace

PhasePlans::PhasePlans(const Task& task, int64_t ranks, Sources sources)
    : task_(task),
      ranks_(ranks),
      sources_(sources),
      measurable_(listed_positions(task, sources) <= kMostListed) {}

/// The examples of the largest step that is counted: all of them, or a half, a quarter, …
int64_t PhasePlans::counted_examples(int64_t examples) const {
  const int64_t terms = task_.terms_per_example();
  while (examples > 1 && (examples > kMostExamples || examples * terms > kMostTerms)) {
    examples = (examples + 1) / 2;
  }
  return examples;
}

MemoryPlan PhasePlans::memory(int64_t examples) {
  if (!measurable_) return beyond_measure(task_);
  try {
    const int64_t base = counted_examples(examples);
    if (base == examples) return counted(base).memory;
    const double factor = static_cast<double>(examples) / static_cast<double>(base);
    return extrapolated(counted(base).memory, counted(2 * base).memory, factor);
  } catch (const OutOfMemoryError&) {
    return beyond_measure(task_);
  }
}

std::optional<StepFlop> PhasePlans::flop_per_example(int64_t examples) {
  if (!measurable_) return std::nullopt;
  try {
    const int64_t base = counted_examples(examples);
    const StepFlop& flop = counted(base).flop;
    const auto count = static_cast<double>(base);
    return StepFlop{flop.forward / count, flop.backward / count};
  } catch (const OutOfMemoryError&) {
    return std::nullopt;
  }
}

const PhasePlans::Counted& PhasePlans::counted(int64_t examples) {
  const auto found = counted_.find(examples);
  if (found != counted_.end()) return found->second;
  const CountedStep step = count_step(task_, examples, ranks_, sources_);
  return counted_.emplace(examples, Counted{step.memory, step.flop}).first->second;
}

RunPlans::RunPlans(const Task& task, int64_t ranks) {
  const Config& config = task.config();
  const int64_t sampled_steps = finetune_start(config);
  if (sampled_steps > 0) sampled_.emplace(task, ranks, Sources::sampled);
  if (sampled_steps < config.train.steps) finetune_.emplace(task, ranks, Sources::all);
}

RunMemory RunPlans::memory(int64_t examples) {
  RunMemory memory;
  if (sampled_) memory.sampled = sampled_->memory(examples);
  if (finetune_) memory.finetune = finetune_->memory(examples);
  return memory;
}

std::optional<int64_t> largest_that_fits(RunPlans& plans, int64_t share, int64_t limit) {
  for (const int64_t candidate : divisors_descending(share)) {
    if (plans.memory(candidate).peak().total() <= limit) return candidate;
  }
  return std::nullopt;
}

}  // namespace ssa
