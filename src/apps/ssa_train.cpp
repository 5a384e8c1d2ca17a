// ssa-train: trains a model from a YAML config, or prints what the training would need.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <spdlog/spdlog.h>

#include "ssa/config/differences.h"
#include "ssa/config/idle_keys.h"
#include "ssa/core/out_of_memory.h"
#include "ssa/core/shell_word.h"
#include "ssa/dist/launch.h"
#include "ssa/report/published.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/tasks/load.h"
#include "ssa/train/device_ranks.h"
#include "ssa/train/trainer.h"

#include "apps/app.h"
#include "apps/dry_run.h"
#include "apps/early_config.h"
#include "apps/whole_number.h"

namespace ssa {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> set;
  std::string run_dir;
  std::string resume = "none";
  std::string profile, profile_steps;
  std::string device = "auto";
  bool dry_run = false;
  bool print_config = false;
  bool config_reference = false;
  std::string json;
  // The machines that --dry-run is about; 0: not given.
  int64_t ranks = 0, device_memory = 0;
  double tflops = 0;

  bool describes_machines() const { return ranks > 0 || device_memory > 0 || tflops > 0; }
};

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

/// Reads "100-103", or "100" for one step.
ProfileOptions profile_of(const Options& options) {
  ProfileOptions profile{.dir = options.profile};
  const std::string& text = options.profile_steps;
  if (text.empty()) return profile;
  const char* const end = text.data() + text.size();
  const auto [dash, bad_first] = std::from_chars(text.data(), end, profile.first);
  profile.last = profile.first;
  const bool has_last = bad_first == std::errc() && dash != end && *dash == '-';
  const auto [stop, bad_last] = has_last ? std::from_chars(dash + 1, end, profile.last)
                                         : std::from_chars_result{dash, bad_first};
  if (bad_last == std::errc() && stop == end && profile.first >= 1 &&
      profile.last >= profile.first) {
    return profile;
  }
  throw ConfigError("--profile-steps {}: give the first and the last step, such as 100-103", text);
}

/// Throws ConfigError now, rather than an error of storage when the run has begun.
void make_profile_folder(const std::string& folder) {
  try {
    make_directories(folder);
  } catch (const Error& error) {
    throw ConfigError("--profile {}: {}", folder, error.what());
  }
}

/// What goes on with a stopped run, in one line for a shell.
std::string resume_command(const Options& options, int ranks) {
  std::string command = ranks > 1 ? fmt::format("mpirun -n {} ", ranks) : std::string();
  command += "ssa-train --config " + shell_word(options.config);
  if (!options.set.empty()) command += " --set";
  for (const std::string& text : options.set) command += " " + shell_word(text);
  command += fmt::format(" --run-dir {} --resume auto", shell_word(options.run_dir));
  if (options.device != "auto") command += " --device " + shell_word(options.device);
  return command;
}

int train(const Config& config, const Options& options, Communicator& host) {
  DeviceRanks on_device(options.device, host);
  TrainOptions how{options.run_dir, options.resume, on_device.device(), &on_device.ranks()};
  if (!options.profile.empty()) {
    how.profile = profile_of(options);
    make_profile_folder(options.profile);
  }
  Trainer trainer(config, how);
  const TrainOutcome outcome = trainer.train();
  if (outcome == TrainOutcome::interrupted) {
    spdlog::info("to go on: {}", resume_command(options, on_device.ranks().size()));
    return static_cast<int>(ExitCode::interrupted);
  }
  if (host.rank() == 0) report(options);
  return 0;
}

/// Prints what is known about a config without training.
void describe(const Config& config, const Options& options, const MeantMachines& machines) {
  if (options.print_config) std::cout << dump_config(config);
  if (!options.dry_run && options.json.empty()) return;
  const DryRun run = dry_run(config, machines);
  if (options.dry_run && options.json != "-") std::cout << to_text(run);
  if (!options.json.empty()) write_json(options.json, to_json(run));
}

Config load(const Options& options) {
  if (options.config.empty()) throw ConfigError("--config FILE is needed; see --help");
  return load_task_config(options.config, options.set);
}

/// Says which keys change nothing. What epochs have set is right already: a run's own config has
/// both.
void note_idle_keys(const Config& given, const Config& counted) {
  for (const IdleKey& idle : idle_keys(given)) {
    const bool counts_epochs = value_of_key(given, idle.key) != value_of_key(counted, idle.key);
    const bool is_step_count =
        idle.key == "train.steps" || idle.key == "train.schedule.warmup_steps";
    if (is_step_count && !counts_epochs) continue;
    spdlog::info("{}: {} has no effect, because {}", idle.key, idle.value, idle.reason);
  }
}

Config config_of(const Options& options) {
  const Config given = load(options);
  Config counted = counted_in_steps(given);
  if (detect_launch().rank == 0) note_idle_keys(given, counted);
  return counted;
}

int run(Options options, Communicator& ranks, const Config& config) {
  if (ranks.rank() == 0) {
    describe(config, options, {options.device, ranks.size(), ranks.local_size()});
  }
  if (options.run_dir.empty()) {
    options.run_dir = "runs/" + std::filesystem::path(options.config).stem().string();
  }
  return train(config, options, ranks);
}

/// The machines that are meant: those of the options, else those of the launcher, else this one.
MeantMachines meant_machines(const Options& options, const LaunchInfo& launch) {
  MeantMachines machines;
  machines.device = options.device;
  machines.ranks = options.ranks > 0 ? options.ranks : std::max(1, launch.size);
  machines.local_ranks = options.ranks > 0 ? 1 : std::max(1, launch.local_size);
  machines.device_memory = options.device_memory;
  machines.rank_tflops = options.tflops;
  machines.measure = machines.ranks == 1 && !options.describes_machines() && options.dry_run;
  return machines;
}

/// Checks that a text begins with a finite number above 0. The message of CLI11's own check ends
/// with the largest double, in 309 digits, and it takes nan.
CLI::Validator above_zero(std::string_view expected) {
  return {[expected](std::string& text) -> std::string {
            const double value = std::strtod(text.c_str(), nullptr);
            if (std::isfinite(value) && value > 0) return {};
            return fmt::format("'{}' should be {}", text, expected);
          },
          ""};
}

void check(const Options& options) {
  if (options.describes_machines() && !options.dry_run) {
    throw ConfigError(
        "--ranks, --device-memory and --tflops tell --dry-run which machines are meant; ssa-train "
        "itself takes those that it is started on");
  }
  constexpr int64_t kLeast = int64_t{1} << 20;
  if (options.device_memory > 0 && options.device_memory < kLeast) {
    throw ConfigError("--device-memory: {} bytes hold no model; give it with its unit, as in 80GiB",
                      options.device_memory);
  }
}

int run(const Options& options) {
  if (options.config_reference) {
    std::cout << config_reference();
    return 0;
  }
  check(options);
  if (options.print_config || options.dry_run) {  // which takes no other rank
    const LaunchInfo launch = detect_launch();
    if (launch.rank > 0) return 0;
    const Config config = options.dry_run ? load(options) : config_of(options);
    describe(config, options, meant_machines(options, launch));
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
      "  ssa-train --config configs/enwik8_s16_l4.yaml --dry-run --ranks 8 --device-memory 80GiB "
      "--tflops 150\n"
      "  ssa-train --config my.yaml --set train.init_from=runs/enwik8_mini_s0\n"
      "  ssa-train --config my.yaml --profile profile --profile-steps 100-102\n"
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
    CLI::Option* const profile = app.add_option(
        "--profile", options->profile,
        "Folder for a Chrome trace of a few steps, one file per rank: see ui.perfetto.dev");
    app.add_option("--profile-steps", options->profile_steps,
                   "First and last step of the trace, as 100-103 (default: the third to the fifth "
                   "that are trained)")
        ->needs(profile);
    app.add_flag("--dry-run", options->dry_run,
                 "Print what the run takes (compute, memory, time, disk), and stop");
    app.add_option("--ranks", options->ranks, "--dry-run: as one of so many ranks")
        ->check(ssa::whole_number_between(1, 65536));
    app.add_option("--device-memory", options->device_memory,
                   "--dry-run: memory of each rank's device, as in 80GiB (default: this machine's)")
        ->transform(CLI::AsSizeValue(true))
        ->transform(ssa::above_zero("a size such as 80GiB"));  // looks first
    app.add_option("--tflops", options->tflops,
                   "--dry-run: 10^12 operations a second that each rank reaches (default: this "
                   "machine's matrix products, measured)")
        ->check(ssa::above_zero("a number above 0"));
    app.add_flag("--print-config", options->print_config, "Print the resolved config, and stop");
    app.add_flag("--config-reference", options->config_reference,
                 "Print every config key in Markdown, and stop");
    app.add_option("--json", options->json,
                   "Write what --dry-run tells to a file (- is standard output)");
    return [options] { return ssa::run(*options); };
  });
}
