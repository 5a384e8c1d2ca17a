// ssa-sweep: trains a config for every combination of some keys' values and prints the results as
// one table.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/run_folder.h"
#include "ssa/sweep/child_process.h"
#include "ssa/sweep/manifest.h"
#include "ssa/sweep/point_state.h"
#include "ssa/sweep/scored_split.h"
#include "ssa/sweep/summary.h"
#include "ssa/tasks/load.h"
#include "ssa/train/model_session.h"

#include "apps/app.h"
#include "apps/whole_number.h"

namespace ssa {
namespace {

struct Options {
  SweepOptions sweep;
  std::string launcher = "local";
  std::string evaluations = "renorm", split = "auto";
  bool prepare = false;
  std::string run_under;
  bool dry_run = false;
  std::string json, csv, published;
};

/// What lies at a data.path; nothing if it cannot be opened.
using DataByPath = std::map<std::string, std::optional<DataIdentity>>;

/// How the data that the config names differs from what the run was trained on; empty if it does
/// not, or nobody knows. Data may move, and may lie on other machines only. Throws DataError if
/// there is none at a data.path that is not the run's.
std::string other_data(const std::string& run_dir, const Config& config, DataByPath& opened) {
  const DataIdentity run = data_of_run(run_dir);
  if (run.bytes == 0) return {};
  const std::string& path = config.data.path;
  if (!opened.contains(path)) {
    try {
      opened[path] = make_task(config)->open_data()->identity();
    } catch (const DataError&) {
      if (load_config(run_dir + "/config.yaml").data.path != path) throw;
      opened[path] = std::nullopt;
    }
  }
  const std::optional<DataIdentity>& data = opened[path];
  const std::string difference = data ? data_difference(run, *data) : "";
  return difference.empty() ? "" : fmt::format("data.path: {} has {}", path, difference);
}

/// Checks all run folders before the first run starts. Throws ConfigError with all problems.
void check_run_folders(const SweepOptions& options, const std::vector<SweepPoint>& points) {
  std::string problems;
  DataByPath opened;
  for (const SweepPoint& point : points) {
    const std::string run_dir = options.run_dir(point);
    std::vector<std::string> differences = config_differences(run_dir, point.config);
    const std::string data = other_data(run_dir, point.config, opened);
    if (!data.empty()) differences.push_back(data);
    if (differences.empty()) continue;
    problems += fmt::format("\n{} holds a run of another config, or of other data:\n  {}", run_dir,
                            fmt::join(differences, "\n  "));
  }
  if (problems.empty()) return;
  throw ConfigError("nothing was started:{}\nput the values back, or give another --run-root",
                    problems);
}

void check_programs(const std::string& program_dir) {
  for (const char* program : {"ssa-train", "ssa-eval"}) {
    const std::string path = program_dir + "/" + program;
    if (::access(path.c_str(), X_OK) == 0) continue;
    throw ConfigError("{} is missing: ssa-sweep runs the programs that lie beside it", path);
  }
}

std::vector<EvalMode> evaluations_from(const std::string& text) {
  if (text == "none") return {};
  if (text == "both") return {EvalMode::renorm, EvalMode::ensemble};
  return {text == "ensemble" ? EvalMode::ensemble : EvalMode::renorm};
}

/// The words of --run-under. What runs here needs the first as a path: throws ConfigError if it is
/// not on PATH. A job script finds it where the job runs.
std::vector<std::string> launcher_from(const std::string& text, bool runs_here) {
  std::istringstream words(text);
  std::vector<std::string> launcher{std::istream_iterator<std::string>(words), {}};
  if (launcher.empty() || !runs_here) return launcher;
  const std::string path = find_on_path(launcher.front());
  if (path.empty()) throw ConfigError("--run-under: there is no {} on PATH", launcher.front());
  launcher.front() = path;
  return launcher;
}

SweepGrid read_grid(const SweepOptions& options, std::vector<Variation>& variations) {
  for (const std::string& text : options.vary) variations.push_back(parse_variation(text));
  SweepGrid grid = make_grid(options.config, options.set, variations);
  if (options.only.empty()) return grid;
  std::erase_if(grid.points, [&](const SweepPoint& point) { return point.name != options.only; });
  if (grid.points.empty()) throw ConfigError("--only {}: no point has this name", options.only);
  return grid;
}

/// Locks the folder: only one ssa-sweep may start its points.
RunFolder lock_folder(const std::string& run_root) {
  try {
    return RunFolder(run_root);
  } catch (const ConfigError&) {
    throw ConfigError(
        "{} is in use by another ssa-sweep: wait until it is done, or give another --run-root",
        run_root);
  }
}

void note_grid(const Options& options, const SweepGrid& grid,
               const std::vector<Variation>& variations) {
  SweepManifest manifest{options.sweep.config, options.sweep.set, variations, {}};
  for (const SweepPoint& point : grid.points) manifest.points.push_back(point.name);
  for (const std::string& text : manifest_differences(options.sweep.run_root, manifest)) {
    spdlog::warn("{}", text);
  }
  write_manifest(options.sweep.run_root, manifest);
}

Split split_for(const Options& options, const SweepGrid& grid) {
  if (options.split != "auto") return split_from_name(options.split);
  if (options.sweep.evaluations.empty()) return Split::test;
  const Split split = split_to_score(grid.points);
  if (split == Split::valid) {
    spdlog::info(
        "the test split of the data is empty or lacks targets: the valid split is scored instead "
        "(--eval-split)");
  }
  return split;
}

/// --prepare is for scripts. Throws ConfigError for it without one.
void check_launcher(const Options& options) {
  if (!options.prepare || options.launcher == "slurm") return;
  throw ConfigError("--prepare writes a job script; it needs --launcher slurm");
}

std::string published_path(const Options& options) {
  if (!options.published.empty()) return options.published;
  return find_published_results(options.sweep.config, options.sweep.program_dir);
}

/// Writes a page about the points that have begun. If it fails, the sweep still succeeds.
void write_page(const Options& options, const SweepGrid& grid) {
  std::vector<std::string> begun;
  const std::string output = options.sweep.run_root + "/report.html";
  try {
    for (const SweepPoint& point : grid.points) {
      const std::string run_dir = options.sweep.run_dir(point);
      if (path_exists(run_dir + "/config.yaml")) begun.push_back(run_dir);
    }
    if (begun.empty()) return;
    write_report(begun, output, published_path(options));
    spdlog::info("report: {}", output);
  } catch (const Error& error) {
    spdlog::warn("no report: {}", error.what());
  }
}

void print_summary(const Options& options, const SweepGrid& grid, bool keep) {
  const std::string path = published_path(options);
  const PublishedResults published =
      path.empty() ? PublishedResults() : PublishedResults::load(path);
  const SummaryTable table = summarize(options.sweep, grid.points, published);
  const bool compared =
      std::any_of(grid.points.begin(), grid.points.end(),
                  [&](const SweepPoint& point) { return published.find(point.config) != nullptr; });
  const SummaryTable seeds = over_seeds(table, grid.points);
  if (options.json != "-" && options.csv != "-") {
    std::cout << to_text(table);
    if (!seeds.empty()) std::cout << "\nmean ± standard deviation over seeds\n" << to_text(seeds);
  }
  if (compared) spdlog::info("paper: {}", published.source());
  if (!options.json.empty()) write_json(options.json, to_json(table));
  if (options.csv == "-") std::cout << to_csv(table);
  if (!options.csv.empty() && options.csv != "-") write_result(options.csv, to_csv(table));
  if (!keep) return;
  write_file_atomically(options.sweep.run_root + "/summary.csv", to_csv(table));
  if (seeds.empty()) return;
  write_file_atomically(options.sweep.run_root + "/summary-over-seeds.csv", to_csv(seeds));
}

int run(Options options) {
  SweepOptions& sweep = options.sweep;
  const bool runs_here = options.launcher == "local";
  check_launcher(options);
  if (runs_here) device_from_name(sweep.device);  // nodes may have other devices
  sweep.submit = !options.prepare;
  sweep.program_dir = own_program_dir();
  sweep.evaluations = evaluations_from(options.evaluations);
  sweep.run_under = launcher_from(options.run_under, runs_here);
  if (sweep.run_root.empty()) {
    sweep.run_root = "runs/" + std::filesystem::path(sweep.config).stem().string() + "-sweep";
  }
  std::vector<Variation> variations;
  const SweepGrid grid = read_grid(sweep, variations);
  sweep.split = split_for(options, grid);
  check_result_path("--json", options.json);
  check_result_path("--csv", options.csv);
  check_run_folders(sweep, grid.points);
  check_programs(sweep.program_dir);
  const bool whole_grid = sweep.only.empty();
  if (whole_grid) {
    for (const std::string& note : grid.notes) spdlog::info("{}", note);
  }
  if (options.dry_run) {
    print_summary(options, grid, false);
    return 0;
  }
  if (!whole_grid) {  // a task of a job array; other tasks work in the same folder
    run_local(sweep, points_to_run(sweep, grid.points));
    return sweep_exit_code(sweep, grid.points);
  }
  const RunFolder folder = lock_folder(sweep.run_root);
  note_grid(options, grid, variations);
  const auto points = points_to_run(sweep, grid.points);
  if (options.launcher == "slurm" && !points.empty()) {
    submit_slurm(sweep, points);
    print_summary(options, grid, true);
    return 0;
  }
  // By the whole grid, so that a restart for the last few points uses the same number of threads.
  sweep.jobs = std::min(sweep.jobs, static_cast<int64_t>(grid.points.size()));
  run_local(sweep, points);
  print_summary(options, grid, true);
  write_page(options, grid);
  return sweep_exit_code(sweep, grid.points);
}

void add_options(CLI::App& app, Options& options) {
  SweepOptions& sweep = options.sweep;
  app.add_option("--config", sweep.config, "YAML config that all points start from")->required();
  app.add_option("--vary", sweep.vary,
                 "key=v1,v2,… (repeatable): the grid is every combination. Lists and maps in "
                 "brackets and braces are one value")
      ->required();
  app.add_option("--set", sweep.set, "key=value …: override keys of all points");
  app.add_option("--run-root", sweep.run_root,
                 "Folder of the run folders (default: runs/NAME-sweep)");
  app.add_option("--launcher", options.launcher, "local: child processes; slurm: a job array")
      ->check(CLI::IsMember({"local", "slurm"}))
      ->capture_default_str();
  app.add_flag("--prepare", options.prepare,
               "slurm: write the job array's script and do not submit it");
  app.add_option("--jobs", sweep.jobs, "Points at a time (default: 1; slurm: no limit)")
      ->check(whole_number_between(1, 4096));
  app.add_option("--eval", options.evaluations,
                 "Score the points after training: renorm, ensemble, both or none")
      ->check(CLI::IsMember({"renorm", "ensemble", "both", "none"}))
      ->capture_default_str();
  app.add_option("--eval-split", options.split,
                 "Split to score: test, valid, or auto: test where it has targets, else valid")
      ->check(CLI::IsMember({"auto", "test", "valid"}))
      ->capture_default_str();
  app.add_flag("--retry-failed", sweep.retry_failed, "Run points again that failed before");
  app.add_flag("--dry-run", options.dry_run, "Check and list the points, and start nothing");
  app.add_option("--device", sweep.device, "auto, cpu, cuda or reference")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "reference"}))
      ->capture_default_str();
  app.add_option("--sbatch", sweep.sbatch,
                 "key=value …: options for the Slurm script, as in time=04:00:00");
  app.add_option("--script", sweep.script,
                 "What the Slurm script is made from (default: as scripts/slurm/sweep.sbatch)")
      ->check(CLI::ExistingFile);
  app.add_option("--run-under", options.run_under,
                 "Command in front of ssa-train and ssa-eval, as in 'srun --mpi=pmix': several "
                 "ranks a point");
  app.add_option("--only", sweep.only, "Work on the one point of this name");
  app.add_option("--published", options.published,
                 "JSON table to compare with (default: configs/published_results.json)");
  app.add_option("--json", options.json, "Write the table as JSON (- is standard output)");
  app.add_option("--csv", options.csv, "Write the table as CSV (- is standard output)");
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-sweep", "Train a config for every combination of some values, and compare",
      "  ssa-sweep --config configs/enwik8_mini_s6_l4.yaml --vary ssa.windows=2,4,8 "
      "--vary ssa.sigma.last=0.05,0.1\n"
      "  ssa-sweep --config configs/enwik8_mini_s6_l4.yaml --vary ssa.kind=none,local "
      "--vary train.seed=1,2,3 --jobs 2 --eval both\n"
      "  ssa-sweep --config configs/enwik8_s0.yaml --launcher slurm --sbatch time=24:00:00 "
      "--vary 'ssa={kind: none},{kind: local, windows: 4}'"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    ssa::add_options(app, *options);
    return [options] { return ssa::run(*options); };
  });
}
