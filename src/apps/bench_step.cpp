// ssa-bench step: times a whole training step and its parts, and compares it with a step that would
// consist of matrix products at full speed only.

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "ssa/backend/profile.h"
#include "ssa/core/device_memory.h"
#include "ssa/models/precision.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/load.h"
#include "ssa/train/counted_step.h"
#include "ssa/train/memory_plan.h"
#include "ssa/train/stepper.h"

#include "apps/app.h"
#include "apps/bench.h"

namespace ssa::bench {
namespace {

/// The line "NAME:   1234 kB" of /proc/self/status, in bytes; 0 if there is none.
int64_t process_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != name + ":") continue;
    int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

/// FLOP/s of the backend's matmul on the step's own products with weights, each weighted by how
/// often the step computes it.
double matmul_rate(const Config& config, DType dtype, Device device) {
  double flop = 0, seconds = 0;
  const Tally tally = count_step(*make_task(config), config.train.micro_batch).tally;
  for (const auto& [counted, times] : tally.products) {
    if (counted.kind == CountedProduct::Kind::data || times == 0) continue;
    const Product product{counted.kind == CountedProduct::Kind::weights
                              ? Product::Kind::weights
                              : Product::Kind::weight_gradient,
                          counted.m, counted.n, counted.k};
    flop += product.flop() * static_cast<double>(times);
    seconds += product_seconds(product, dtype, device, 3) * static_cast<double>(times);
  }
  return flop / seconds;
}

/// The measurements of a run of steps.
struct StepRun {
  double seconds = 0;                       // median
  double seconds_by_call = 0;               // without CUDA graphs; 0 on devices without them
  std::map<std::string, double> breakdown;  // mean seconds per step
  int64_t peak_bytes = 0;                   // of the allocator
  int64_t system_allocations = 0;           // after the second step
};

/// The micro-batches of a step: made up, or the first ones that a training reads.
std::vector<Batch> batches_of_step(const Task& task, const TrainingSet* data) {
  const TrainConfig& train = task.config().train;
  std::vector<Batch> batches;
  for (int64_t first = 0; first < train.batch_size; first += train.micro_batch) {
    batches.push_back(data ? data->batch(first, train.micro_batch)
                           : task.typical_batch(train.micro_batch));
  }
  return batches;
}

/// Rows of each graph of a batch of graphs, virtual nodes included; empty for other batches.
std::vector<int32_t> rows_of_graphs(const Batch& batch) {
  const auto is_nodes = [](const BatchField& field) { return field.name() == "nodes"; };
  if (std::ranges::none_of(batch.fields(), is_nodes)) return {};
  const std::span<const int32_t> begins = batch.field("nodes").values<int32_t>();
  std::vector<int32_t> rows(begins.size());
  std::adjacent_difference(begins.begin(), begins.end(), rows.begin());
  rows.erase(rows.begin());
  return rows;
}

/// A draw may add sources to the batches, so that each step begins with those given here.
StepRun run_steps(const Config& config, const std::vector<Batch>& batches, Device device,
                  int64_t repeats) {
  Config by_call = config;
  by_call.train.cuda_graphs = false;
  const auto task = make_task(config), task_by_call = make_task(by_call);
  std::optional<Stepper> stepper(std::in_place, *task, device);
  StepItem item;
  int64_t step = 0, allocations = 0;
  double plan_seconds = 0;
  // A profile waits for the device after every call, so a GPU's steps are timed without one.
  const bool profile_costs = device == Device::cuda;
  std::optional<BackendProfile> profile;
  if (!profile_costs) profile.emplace(device);
  allocator(device).reset_peaks();
  const auto one_step = [&] {
    if (step == 2) allocations = allocator(device).stats().system_allocations;
    item.micro_batches = batches;
    const auto started = std::chrono::steady_clock::now();
    item.plans = plans_of_step(*task, item.micro_batches, 0);
    plan_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    stepper->step(step++, item);
    if (step == 2) {  // the first steps warm up
      if (profile) profile->reset();
      plan_seconds = 0;
    }
  };
  one_step();
  StepRun result;
  result.seconds = median_seconds(repeats, device, one_step);
  result.peak_bytes = allocator(device).stats().peak_total_bytes;
  if (repeats > 1) {
    result.system_allocations = allocator(device).stats().system_allocations - allocations;
  }
  if (profile_costs) {
    stepper.reset();
    stepper.emplace(*task_by_call, device);
    one_step();
    result.seconds_by_call = median_seconds(repeats, device, one_step);
    profile.emplace(device);
    plan_seconds = 0;
    for (int64_t i = 0; i < repeats; ++i) one_step();
  }
  const auto count = static_cast<double>(repeats);
  result.breakdown["plans (drawn ahead in training)"] = plan_seconds / count;
  for (const auto& [part, total] : profile->seconds()) result.breakdown[part] = total / count;
  return result;
}

void print_breakdown(const StepRun& run) {
  std::vector<std::pair<std::string, double>> parts(run.breakdown.begin(), run.breakdown.end());
  double rest = run.seconds;
  for (const auto& [part, seconds] : parts) rest -= seconds;
  parts.push_back({"the rest (tape, bookkeeping)", std::max(0.0, rest)});
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [part, seconds] : parts) {
    std::cout << fmt::format("  {:32} {:9.3f} ms  {:5.1f}%\n", part, seconds * 1e3,
                             100 * seconds / run.seconds);
  }
}

}  // namespace

Config step_config(const Options& options, const TaskData* data) {
  if (options.config.empty()) throw ConfigError("ssa-bench step needs --config FILE");
  std::vector<std::string> overrides = options.set;
  if (!options.precision.empty()) {
    overrides.push_back("train.precision=" + options.precision);
  }
  Config config = load_task_config(options.config, overrides);
  if (data) config = data->settled(config);
  config.train.micro_batch = resolve_micro_batch(*make_task(config));
  return config;
}

int run_step(const Options& options) {
  if (options.compare) return run_compare(options);
  std::unique_ptr<TaskData> data;
  if (options.data) data = make_task(load_task_config(options.config, options.set))->open_data();
  const Config config = step_config(options, data.get());
  const auto training = data ? data->training(config) : nullptr;
  const Device device = device_from_name(options.device);
  const DType dtype = to_dtype(config.train.precision);
  const int64_t resident_before = process_bytes("VmRSS");
  const std::vector<Batch> batches = batches_of_step(*make_task(config), training.get());
  const StepRun run = run_steps(config, batches, device, options.repeats);
  const int64_t resident_peak = process_bytes("VmHWM");
  // Measured after the steps, so that its memory does not count as theirs.
  const double peak = measured_peak(dtype, device), same = matmul_rate(config, dtype, device);

  const auto task = make_task(config);
  const auto tokens = static_cast<double>(config.train.batch_size * task->terms_per_example());
  const int64_t predicted = count_step(*task, config.train.micro_batch).memory.total();
  // Backward costs twice the forward pass.
  const double rate = 3 * training_cost(config).forward_flop_per_token * tokens / run.seconds;
  std::cout << fmt::format(
      "step {:.3f} s, {:.1f} {}/s, peak {:.0f} MiB (predicted {:.0f}; process {:.0f}), "
      "{} buffers asked of the system after warm-up\n"
      "{:.1f} GFLOP/s: {:.0f}% of the measured matmul peak ({:.1f}), {:.0f}% of matmul on the "
      "step's own shapes ({:.1f})\n",
      run.seconds, tokens / run.seconds, task->traits().rate,
      static_cast<double>(run.peak_bytes) / 0x1p20, static_cast<double>(predicted) / 0x1p20,
      static_cast<double>(resident_peak) / 0x1p20, run.system_allocations, rate * 1e-9,
      100 * rate / peak, peak * 1e-9, 100 * rate / same, same * 1e-9);
  if (run.seconds_by_call > 0 && config.train.cuda_graphs) {
    std::cout << fmt::format("without CUDA graphs {:.3f} s\n", run.seconds_by_call);
  }
  print_breakdown(run);
  finish(options, {{"tokens_per_second", tokens / run.seconds},
                   {"step_seconds", run.seconds},
                   {"step_seconds_by_call", run.seconds_by_call},
                   {"precision",
                    choices(config.train.precision)[static_cast<size_t>(config.train.precision)]},
                   {"peak_memory_bytes", run.peak_bytes},
                   {"predicted_memory_bytes", predicted},
                   {"resident_before_bytes", resident_before},
                   {"peak_resident_bytes", resident_peak},
                   {"system_allocations_after_warm_up", run.system_allocations},
                   {"flop_per_second", rate},
                   {"matmul_flop_per_second", peak},
                   {"fraction_of_matmul_peak", rate / peak},
                   {"fraction_of_matmul_same_shapes", rate / same},
                   {"rows_of_graphs", rows_of_graphs(batches.front())},
                   {"breakdown", run.breakdown}});
  return 0;
}

}  // namespace ssa::bench
