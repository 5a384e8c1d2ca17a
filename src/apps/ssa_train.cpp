// ssa-train: trains a model from a YAML config, or prints what the training would need.

#include <algorithm>
#include <filesystem>
#include <iostream>

#include <spdlog/spdlog.h>

#include "ssa/core/out_of_memory.h"
#include "ssa/dist/launch.h"
#include "ssa/report/published.h"
#include "ssa/report/report.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/load.h"
#include "ssa/train/device_ranks.h"
#include "ssa/train/memory_plan.h"
#include "ssa/train/trainer.h"

#include "apps/app.h"
#include "apps/early_config.h"

namespace ssa {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> set;
  std::string run_dir;
  std::string resume = "none";
  std::string device = "auto";
  bool dry_run = false;
  bool print_config = false;
  bool config_reference = false;
  std::string json;
};

/// Among how many ranks a job is divided: those of the job, and those that share this machine.
struct RankCounts {
  int64_t all = 1, local = 1;
};

/// Of a step of each rank.
int64_t micro_batch_of(const Task& task, const RankCounts& ranks) {
  const int64_t share = std::max<int64_t>(1, task.config().train.batch_size / ranks.all);
  return std::min(share, resolve_micro_batch(task, usable_memory() / ranks.local, ranks.all));
}

nlohmann::json dry_run_json(const Config& config, const RankCounts& ranks) {
  const TrainingCost cost = training_cost(config);
  const std::unique_ptr<Task> task = make_task(config);
  const RunMemory run = plan_memory(*task, micro_batch_of(*task, ranks), ranks.all);
  const MemoryPlan& memory = run.peak();
  nlohmann::json phases;
  if (run.sampled) phases["sampled"] = run.sampled->total();
  if (run.finetune) phases["finetune"] = run.finetune->total();
  return {{"parameters", parameter_count(config)},
          {"forward_flop_per_token", cost.forward_flop_per_token},
          {"train_exaflop", cost.train_exaflop},
          {"compute_ratio", cost.compute_ratio},
          {"memory_bytes",
           {{"parameters", memory.parameters},
            {"packed_weights", memory.packed_weights},
            {"gradients", memory.gradients},
            {"optimizer", memory.optimizer},
            {"activations", memory.activations},
            {"workspace", memory.workspace}}},
          {"memory_bytes_of_phases", phases}};
}

void print_dry_run(const Config& config, const RankCounts& ranks) {
  const TrainingCost cost = training_cost(config);
  const std::unique_ptr<Task> task = make_task(config);
  const int64_t micro = micro_batch_of(*task, ranks);
  const std::string whose =
      ranks.all > 1 ? fmt::format("of each of {} ranks, ", ranks.all) : std::string();
  std::cout << fmt::format(
      "parameters      {:.2f} M\n"
      "forward         {:.1f} MFLOP per {} ({:.1f} with dense attention)\n"
      "training        {:.3g} EFLOP forward over {} steps\n"
      "compute ratio   {:.3f} of dense attention{}\n"
      "memory          {}at micro-batch {}: {}\n",
      static_cast<double>(parameter_count(config)) * 1e-6, cost.forward_flop_per_token * 1e-6,
      task->traits().unit, cost.dense_forward_flop_per_token * 1e-6, cost.train_exaflop,
      config.train.steps, cost.compute_ratio,
      config.ssa.finetune_fraction > 0 ? ", +FT counted" : "", whose, micro,
      plan_memory(*task, micro, ranks.all).text());
}

/// The run has succeeded without it.
void report(const Options& options) {
  try {
    write_report({options.run_dir}, options.run_dir + "/report.html",
                 find_published_results(options.config));
    spdlog::info("report: {}/report.html", options.run_dir);
  } catch (const std::exception& error) {
    spdlog::warn(
        "the run is done and saved, but its report could not be made: {}\nssa-report {} "
        "makes it",
        is_out_of_memory(error) ? out_of_memory_message(error) : error.what(), options.run_dir);
  }
}

int train(const Config& config, const Options& options, Communicator& host) {
  DeviceRanks on_device(options.device, host);
  Trainer trainer(config,
                  {options.run_dir, options.resume, on_device.device(), &on_device.ranks()});
  const TrainOutcome outcome = trainer.train();
  if (outcome == TrainOutcome::interrupted) return static_cast<int>(ExitCode::interrupted);
  if (host.rank() == 0) report(options);
  return 0;
}

/// Prints what is known about a config without training.
void describe(const Config& config, const Options& options, const RankCounts& ranks) {
  if (options.print_config) std::cout << dump_config(config);
  if (options.dry_run && options.json != "-") print_dry_run(config, ranks);
  if (!options.json.empty()) write_json(options.json, dry_run_json(config, ranks));
}

Config config_of(const Options& options) {
  if (options.config.empty()) throw ConfigError("--config FILE is needed; see --help");
  return counted_in_steps(load_task_config(options.config, options.set));
}

int run(Options options, Communicator& ranks, const Config& config) {
  if (ranks.rank() == 0) describe(config, options, {ranks.size(), ranks.local_size()});
  if (options.run_dir.empty()) {
    options.run_dir = "runs/" + std::filesystem::path(options.config).stem().string();
  }
  return train(config, options, ranks);
}

int run(const Options& options) {
  if (options.config_reference) {
    std::cout << config_reference();
    return 0;
  }
  if (options.print_config || options.dry_run) {  // which takes no other rank
    const LaunchInfo launch = detect_launch();
    const RankCounts ranks{std::max(1, launch.size), std::max(1, launch.local_size)};
    if (launch.rank == 0) describe(config_of(options), options, ranks);
    return 0;
  }
  const EarlyConfig config([&] { return config_of(options); });
  return run_on_ranks("ssa-train", config, [&](Communicator& ranks, const Config& given) {
    return run(options, ranks, given);
  });
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-train", "Train a model with Stochastically Subsampled self-Attention",
      "  ssa-train --config configs/enwik8_mini_s6_l4_ft.yaml\n"
      "  ssa-train --config configs/enwik8_mini_s6_l4.yaml --set ssa.windows=8 train.seed=2 "
      "--run-dir runs/w8\n"
      "  ssa-train --config configs/enwik8_mini_s6_l4.yaml --resume auto\n"
      "  ssa-train --config configs/enwik8_s16_l4.yaml --dry-run --json cost.json\n"
      "  mpirun -n 2 ssa-train --config configs/enwik8_mini_s6_l4.yaml"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("--config", options->config, "YAML config; see docs/reference/config.md");
    app.add_option("--set", options->set, "key=value …: override keys of the config");
    app.add_option("--run-dir", options->run_dir,
                   "Folder for checkpoints, metrics and report (default: runs/NAME of the config)");
    app.add_option("--resume", options->resume,
                   "none: start a new run. auto: go on from the newest valid checkpoint of the run "
                   "folder, or start if there is none. Else a checkpoint folder to go on from")
        ->capture_default_str();
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_flag("--dry-run", options->dry_run, "Print parameters, compute and memory, and stop");
    app.add_flag("--print-config", options->print_config, "Print the resolved config, and stop");
    app.add_flag("--config-reference", options->config_reference,
                 "Print every config key in Markdown, and stop");
    app.add_option("--json", options->json,
                   "Write parameters, compute and memory to a file (- is standard output)");
    return [options] { return ssa::run(*options); };
  });
}
