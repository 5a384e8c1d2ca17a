#include "ssa/train/memory_plan.h"

#include <fmt/format.h>

#include "train/run_plans.h"

namespace ssa {

namespace {

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
  return RunPlans(task, ranks).memory(examples);
}

int64_t usable_memory(Device device) {
  return device == Device::cuda ? device_memory(device).capacity() : usable_memory();
}

int64_t resolve_micro_batch(const Task& task, int64_t memory, int64_t ranks) {
  const TrainConfig& train = task.config().train;
  if (train.micro_batch > 0) return train.micro_batch;
  RunPlans plans(task, ranks);
  return largest_that_fits(plans, train.batch_size / ranks, memory / 2).value_or(1);
}

}  // namespace ssa
