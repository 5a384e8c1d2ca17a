// ssa-bench step --compare: what subsampling saves (C, M and S of the paper) against dense
// attention, both fused, as here, and materialized, as in the paper.

#include <chrono>
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "ssa/core/device_memory.h"
#include "ssa/models/precision.h"
#include "ssa/report/published.h"
#include "ssa/report/report.h"
#include "ssa/tasks/cost.h"
#include "ssa/train/counted_step.h"
#include "ssa/train/stepper.h"

#include "apps/app.h"
#include "apps/bench.h"

namespace ssa::bench {
namespace {

using nlohmann::json;

/// One of the models that are compared, with the time and memory of its steps.
class Contender {
 public:
  /// Runs a first step, which allocates gradients and moments and warms up.
  Contender(std::string label, const Config& config, Device device)
      : label_(std::move(label)),
        device_(device),
        own_bytes_(-in_use()),
        task_(make_task(config)),
        stepper_(*task_, device),
        item_(typical_step(*task_)) {
    step();
    own_bytes_ += in_use();
  }

  void measure() {
    const int64_t start = in_use();
    allocator(device_).reset_peaks();
    const auto started = std::chrono::steady_clock::now();
    step();
    seconds_.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    peak_bytes_ = own_bytes_ + allocator(device_).stats().peak_total_bytes - start;
  }

  const std::string& label() const { return label_; }
  double seconds() const { return median(seconds_); }
  /// Peak of its tensors, with parameters and optimizer.
  int64_t peak_bytes() const { return peak_bytes_; }
  int64_t predicted_bytes() const {
    return count_step(*task_, task_->config().train.micro_batch).memory.total();
  }
  json to_json() const {
    return {{"step_seconds", seconds()},
            {"peak_memory_bytes", peak_bytes()},
            {"predicted_memory_bytes", predicted_bytes()},
            {"all_step_seconds", seconds_}};
  }

 private:
  int64_t in_use() const { return allocator(device_).stats().total_bytes; }
  void step() { stepper_.step(steps_++, item_); }

  std::string label_;
  Device device_;
  int64_t own_bytes_;  // size of stepper_; declared first, to measure the memory before
  std::unique_ptr<Task> task_;
  Stepper stepper_;
  StepItem item_;
  int64_t steps_ = 0, peak_bytes_ = 0;
  std::vector<double> seconds_;
};

/// M and S: memory as a fraction of the baseline's, and speed as a multiple of it. The dense steps
/// of +FT count by their share of the run.
struct Ratios {
  double memory, speed;
  Ratios(const Contender& own, const Contender& own_dense, const Contender& baseline,
         double sampled_part)
      : memory(mixed(static_cast<double>(own.peak_bytes()),
                     static_cast<double>(own_dense.peak_bytes()), sampled_part) /
               static_cast<double>(baseline.peak_bytes())),
        speed(baseline.seconds() / mixed(own.seconds(), own_dense.seconds(), sampled_part)) {}
  json to_json() const { return {{"memory", memory}, {"speed", speed}}; }

 private:
  static double mixed(double sampled, double dense, double part) {
    return part * sampled + (1 - part) * dense;
  }
};

Config variant(Config config, bool dense, AttentionKind attention) {
  if (dense) config.ssa.kind = SsaKind::none;
  config.model.attention = attention;
  config.train.cuda_graphs = false;  // a replayed step allocates nothing: it would show no peak
  return config;
}

std::optional<PublishedMatch> published(const Options& options, const Config& config,
                                        PublishedResults& results) {
  const std::string path = find_published_results(options.config);
  if (path.empty()) return std::nullopt;
  results = PublishedResults::load(path);
  auto match = results.nearest(config);
  return match && match->row->memory ? match : std::nullopt;
}

json to_json(const PublishedMatch& match) {
  return {{"scheme", match.scheme},
          {"C", match.row->compute.value_or(0)},
          {"M", match.row->memory.value_or(0)},
          {"S", match.row->speed.value_or(0)},
          {"same_size", match.same_size}};
}

/// The four models, and the ratios between them.
struct Comparison {
  std::vector<std::unique_ptr<Contender>> all;
  /// Measures them in turn, so that other load on the machine affects them alike.
  Comparison(const Config& config, Device device, int64_t repeats) {
    const auto add = [&](const char* label, bool dense, AttentionKind kind) {
      const Config own = variant(config, dense, kind);
      all.push_back(std::make_unique<Contender>(label, own, device));
    };
    add("fused", false, AttentionKind::fused);
    add("materialized", false, AttentionKind::materialized);
    add("dense_fused", true, AttentionKind::fused);
    add("dense_materialized", true, AttentionKind::materialized);
    for (int64_t i = 0; i < repeats; ++i) {
      for (const auto& contender : all) contender->measure();
    }
  }
  Ratios both_materialized(double part) const { return {*all[1], *all[3], *all[3], part}; }
  Ratios both_fused(double part) const { return {*all[0], *all[2], *all[2], part}; }
  Ratios fused_to_dense_materialized(double part) const {
    return {*all[0], *all[2], *all[3], part};
  }
};

void print_runs(const Comparison& compared) {
  std::cout << fmt::format("{:22} {:>10} {:>10} {:>10}\n", "a step", "seconds", "peak MiB",
                           "predicted");
  for (const auto& one : compared.all) {
    std::cout << fmt::format("  {:20} {:10.3f} {:10.0f} {:10.0f}\n", one->label(), one->seconds(),
                             static_cast<double>(one->peak_bytes()) / 0x1p20,
                             static_cast<double>(one->predicted_bytes()) / 0x1p20);
  }
}

void print_ratios(const std::string& what, double memory, double speed) {
  std::cout << fmt::format("  {:42} {:6.2f} {:6.2f}\n", what, memory, speed);
}

void print_ratios(const std::string& what, const Ratios& ratios) {
  print_ratios(what, ratios.memory, ratios.speed);
}

}  // namespace

int run_compare(const Options& options) {
  const Config config = step_config(options);
  const Comparison compared(config, device_from_name(options.device), options.repeats);

  const TrainingCost cost = training_cost(config);
  const double part =
      static_cast<double>(finetune_start(config)) / static_cast<double>(config.train.steps);
  const Ratios both_materialized = compared.both_materialized(part);
  const Ratios both_fused = compared.both_fused(part);
  const Ratios mixed = compared.fused_to_dense_materialized(part);
  print_runs(compared);
  std::cout << fmt::format("{:44} {:>6} {:>6}\n",
                           fmt::format("{}, C {:.2f}", scheme_name(config), cost.compute_ratio),
                           "M", "S");
  print_ratios("both materialized, as in the paper", both_materialized);
  print_ratios("both fused", both_fused);
  print_ratios("fused, against dense materialized", mixed);
  json result = {{"scheme", scheme_name(config)},
                 {"precision", name(to_dtype(config.train.precision))},
                 {"compute_ratio", cost.compute_ratio},
                 {"forward_flop_per_token", cost.forward_flop_per_token},
                 {"dense_forward_flop_per_token", cost.dense_forward_flop_per_token},
                 {"sampled_part_of_steps", part},
                 {"both_materialized", both_materialized.to_json()},
                 {"both_fused", both_fused.to_json()},
                 {"fused_to_dense_materialized", mixed.to_json()}};
  for (const auto& one : compared.all) result["runs"][one->label()] = one->to_json();
  PublishedResults results;
  if (const auto match = published(options, config, results)) {
    print_ratios(
        fmt::format("the paper's {}, C {:.2f}", match->scheme, match->row->compute.value_or(0)),
        *match->row->memory, match->row->speed.value_or(0));
    result["published"] = to_json(*match);
  }
  finish(options, result);
  return 0;
}

}  // namespace ssa::bench
