#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "ssa/backend/counting.h"
#include "ssa/train/counted_step.h"
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

/// Plans of one phase for several micro-batch sizes. Steps of up to kMostExamples and kMostTerms
/// are counted. Beyond that, memory grows linearly except for the allocator's rounding, which is
/// the same after halving and doubling.
class PhasePlans {
 public:
  PhasePlans(const Task& task, int64_t ranks, Sources sources)
      : task_(task),
        ranks_(ranks),
        sources_(sources),
        measurable_(listed_positions(task, sources) <= kMostListed) {}

  MemoryPlan of(int64_t examples) {
    if (!measurable_) return beyond_measure(task_);
    const int64_t terms = task_.terms_per_example();
    try {
      int64_t base = examples;
      while (base > 1 && (base > kMostExamples || base * terms > kMostTerms)) {
        base = (base + 1) / 2;
      }
      if (base == examples) return counted(base);
      const double factor = static_cast<double>(examples) / static_cast<double>(base);
      return extrapolated(counted(base), counted(2 * base), factor);
    } catch (const OutOfMemoryError&) {
      return beyond_measure(task_);
    }
  }

 private:
  static constexpr int64_t kMostExamples = 64, kMostTerms = int64_t{1} << 18;
  /// Beyond this, the lists take more than about 1 GiB of the host's memory. Reached by 32 layers
  /// of 2^20 positions.
  static constexpr int64_t kMostListed = int64_t{1} << 26;

  const MemoryPlan& counted(int64_t examples) {
    const auto found = counted_.find(examples);
    if (found != counted_.end()) return found->second;
    const CountedStep step = count_step(task_, examples, ranks_, sources_);
    return counted_.emplace(examples, step.memory).first->second;
  }

  const Task& task_;
  int64_t ranks_;
  Sources sources_;
  bool measurable_;
  std::map<int64_t, MemoryPlan> counted_;
};

class RunPlans {
 public:
  RunPlans(const Task& task, int64_t ranks) {
    const Config& config = task.config();
    const int64_t sampled_steps = finetune_start(config);
    if (sampled_steps > 0) sampled_.emplace(task, ranks, Sources::sampled);
    if (sampled_steps < config.train.steps) finetune_.emplace(task, ranks, Sources::all);
  }
  RunMemory of(int64_t examples) {
    RunMemory memory;
    if (sampled_) memory.sampled = sampled_->of(examples);
    if (finetune_) memory.finetune = finetune_->of(examples);
    return memory;
  }

 private:
  std::optional<PhasePlans> sampled_, finetune_;
};

double mib(int64_t bytes) { return static_cast<double>(bytes) / 0x1p20; }

}  // namespace

const MemoryPlan& RunMemory::peak() const {
  if (!sampled || !finetune) return sampled ? *sampled : finetune.value();
  return sampled->total() < finetune->total() ? *finetune : *sampled;
}

std::string RunMemory::text() const {
  const MemoryPlan& plan = peak();
  std::string text = fmt::format(
      "{:.0f} MiB: parameters {:.0f}, packed weights {:.0f}, gradients {:.0f}, optimizer {:.0f}, "
      "activations {:.0f}, workspace {:.0f}",
      mib(plan.total()), mib(plan.parameters), mib(plan.packed_weights), mib(plan.gradients),
      mib(plan.optimizer), mib(plan.activations), mib(plan.workspace));
  if (sampled && finetune) {
    text += fmt::format(" (with sampled sources {:.0f} MiB, in the dense +FT phase {:.0f})",
                        mib(sampled->total()), mib(finetune->total()));
  }
  return text;
}

RunMemory plan_memory(const Task& task, int64_t examples, int64_t ranks) {
  return RunPlans(task, ranks).of(examples);
}

int64_t usable_memory(Device device) {
  return device == Device::cuda ? device_memory(device).capacity() : usable_memory();
}

int64_t resolve_micro_batch(const Task& task, int64_t memory, int64_t ranks) {
  const TrainConfig& train = task.config().train;
  if (train.micro_batch > 0) return train.micro_batch;
  RunPlans plans(task, ranks);
  for (const int64_t candidate : divisors_descending(train.batch_size / ranks)) {
    if (plans.of(candidate).peak().total() <= memory / 2) return candidate;
  }
  return 1;
}

}  // namespace ssa
