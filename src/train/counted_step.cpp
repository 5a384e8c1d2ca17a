#include "ssa/train/counted_step.h"

#include <algorithm>
#include <vector>

#include "ssa/models/decoder_plans.h"
#include "ssa/tasks/model_input.h"
#include "ssa/train/stepper.h"
#include "ssa/train/stop_signal.h"

namespace ssa {

namespace {

/// A communicator whose other ranks send nothing: it counts the bytes of copies that are sent.
class CountedRanks : public Communicator {
 public:
  explicit CountedRanks(int64_t size) : size_(static_cast<int>(size)) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  int local_rank() const override { return 0; }
  int local_size() const override { return size_; }
  std::string description() const override { return "counted ranks"; }
  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string) override {
    return send(buffer);
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string) override {
    return send(buffer);
  }
  PendingCollective all_gather(const CollectiveBuffer&, std::string) override { return {}; }
  using Communicator::gather;
  std::vector<std::string> gather(const std::string& own, const std::string&) override {
    return std::vector<std::string>(static_cast<size_t>(size_), own);
  }
  void set_step(int64_t) override { copies_ = 0; }
  void set_timeout(std::chrono::duration<double>) override {}
  bool announce_failure(ExitCode, const std::string&) noexcept override { return false; }
  CommunicatorStats stats() const override { return {}; }
  /// Bytes of the bf16 copies of gradients that were sent in the last step.
  int64_t copies() const { return copies_; }

 protected:
  void end_job(ExitCode) noexcept override {}

 private:
  PendingCollective send(const CollectiveBuffer& buffer) {
    if (buffer.dtype == DType::bf16) {
      copies_ += static_cast<int64_t>(CachingAllocator::rounded_size(buffer.bytes()));
    }
    return {};
  }

  int size_;
  int64_t copies_ = 0;
};

int64_t bytes(const MemoryStats& stats, MemoryCategory category) {
  return stats.bytes[static_cast<size_t>(category)];
}

/// What one micro-batch keeps from forward to backward.
int64_t kept_activations(const Count& count, const Model& model, const Config& config,
                         const StepItem& item) {
  const ModelInput input =
      to_input(item.micro_batches.front(), to_tensors(item.plans, Device::counting), model,
               Device::counting);
  const int64_t before = bytes(count.memory(), MemoryCategory::activations);
  const Variable losses = model.losses(input, {true, RngKey{.seed = config.train.seed}});
  return bytes(count.memory(), MemoryCategory::activations) - before;
}

/// What was counted in `all` and not yet in `before`.
Tally difference(Tally all, const Tally& before) {
  for (const auto& [product, times] : before.products) all.products[product] -= times;
  for (const auto& [primitive, elements] : before.elements) all.elements[primitive] -= elements;
  all.attention_flop -= before.attention_flop;
  all.attention_backward_flop -= before.attention_backward_flop;
  return all;
}

/// Thousands of layers take a while. A rank of several does not end at the signal itself, since it
/// has to tell the others.
void end_if_stopped() {
  if (StopSignal::number() == 0) return;
  throw Error(ExitCode::interrupted, "stopped before there was anything to save");
}

double all_flop(const Tally& tally) {
  double flop = tally.attention_flop + tally.attention_backward_flop;
  for (const auto& [product, times] : tally.products) {
    flop += product.flop() * static_cast<double>(times);
  }
  return flop;
}

/// What was in use at the peak, but for activations and workspace.
void count_memory(const Count& count, const CountedRanks& others, MemoryPlan& memory) {
  const MemoryStats stats = count.memory();
  const auto at_peak = [&](MemoryCategory category) {
    return stats.bytes_at_peak[static_cast<size_t>(category)];
  };
  memory.packed_weights = at_peak(MemoryCategory::parameters) - memory.parameters;
  // In a step of one micro-batch, backward makes most gradients after the peak, in the memory of
  // activations that it frees.
  memory.gradients = at_peak(MemoryCategory::gradients) + others.copies();
  memory.optimizer = at_peak(MemoryCategory::optimizer);
}

}  // namespace

CountedStep count_step(const Task& task, int64_t examples, int64_t ranks, Sources sources) {
  StepItem item{{task.typical_batch(examples)}, {}};
  item.plans = task.typical_plans(item.micro_batches, sources);

  const Count count;
  CountedRanks others(ranks);
  Stepper stepper(task, Device::counting, &others);
  CountedStep counted;
  MemoryPlan& memory = counted.memory;
  memory.parameters = bytes(count.memory(), MemoryCategory::parameters);
  end_if_stopped();
  // The first step allocates gradients and packed weights; the second one reuses them.
  stepper.step(0, item);
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the second step changes it.
  const Tally first = count.tally();
  end_if_stopped();
  stepper.step(1, item);
  end_if_stopped();
  counted.tally = difference(count.tally(), first);
  // Counts of a part of a batch that is computed at once include what several micro-batches keep.
  if (examples < task.config().train.batch_size / ranks) {
    item.micro_batches.push_back(item.micro_batches.front());  // meets the gradients of the first
    stepper.step(2, item);
    item.micro_batches.pop_back();
  }

  count_memory(count, others, memory);
  // The rest of the peak. At that moment some activations may already be freed.
  const int64_t rest = count.memory().peak_total_bytes - memory.total();
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the next forward pass changes it.
  const Tally steps = count.tally();
  const int64_t kept = kept_activations(count, stepper.session().model(), task.config(), item);
  memory.activations = std::min(rest, kept);
  memory.workspace = rest - memory.activations;
  counted.flop.forward = all_flop(difference(count.tally(), steps));
  counted.flop.backward = all_flop(counted.tally) - counted.flop.forward;
  return counted;
}

}  // namespace ssa
