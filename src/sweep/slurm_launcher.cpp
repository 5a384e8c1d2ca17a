#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/sweep/child_process.h"
#include "ssa/sweep/sweep.h"

#include "sweep_script.h"  // generated from scripts/slurm/sweep.sbatch

namespace ssa {

namespace {

namespace fs = std::filesystem;

/// The command that runs a single point. The script appends --only and the point's name.
std::string point_command(const SweepOptions& options) {
  std::vector<std::string> command = {options.program_dir + "/ssa-sweep", "--config",
                                      fs::absolute(options.config).string(), "--run-root",
                                      fs::absolute(options.run_root).string()};
  for (const std::string& text : options.vary) command.insert(command.end(), {"--vary", text});
  for (const std::string& text : options.set) command.insert(command.end(), {"--set", text});
  std::string evaluations = "none";
  if (options.evaluations.size() == 2) evaluations = "both";
  if (options.evaluations.size() == 1) evaluations = name(options.evaluations.front());
  command.insert(command.end(), {"--eval", evaluations, "--eval-split",
                                 std::string(name(options.split)), "--device", options.device});
  // A failed point that is submitted again is to be retried.
  command.emplace_back("--retry-failed");
  if (options.run_under.empty()) {
    command.insert(command.begin(), "srun");
  } else {  // ssa-sweep itself is not a rank then
    command.insert(command.end(),
                   {"--run-under", fmt::format("{}", fmt::join(options.run_under, " "))});
  }
  return shell_line(command);
}

/// The template of the job script with `lines` inserted.
std::string filled_in(const SweepOptions& options, const std::string& lines) {
  constexpr std::string_view kMarker = "\n#@ssa-sweep\n";
  constexpr uint64_t kLongestScript = 1 << 20;  // bytes
  std::string script = options.script.empty() ? std::string(kSweepScript)
                                              : read_text_file(options.script, kLongestScript);
  const size_t place = script.find(kMarker);
  if (place == std::string::npos) {
    throw ConfigError(
        "--script {}: it has no line '#@ssa-sweep', where ssa-sweep inserts its own lines: begin "
        "with a copy of scripts/slurm/sweep.sbatch",
        options.script);
  }
  return script.replace(place, kMarker.size(), "\n" + lines);
}

std::string job_script(const SweepOptions& options, size_t points, const std::string& points_file) {
  std::string text;
  const auto option = [&text](const std::string& line) { text += "#SBATCH --" + line + "\n"; };
  const fs::path root = fs::absolute(options.run_root).lexically_normal();
  option("job-name=" + (root.has_filename() ? root : root.parent_path()).filename().string());
  option(fmt::format("array=1-{}{}", points,
                     options.jobs > 0 ? fmt::format("%{}", options.jobs) : std::string()));
  option(fmt::format("output={}/slurm-%A_%a.log", root.string()));
  for (const std::string& line : options.sbatch) option(line);
  text += fmt::format("cd {} || exit 1\npoints={}\nsweep=({})\n",
                      shell_line({fs::current_path().string()}),
                      shell_line({fs::absolute(points_file).string()}), point_command(options));
  return filled_in(options, text);
}

/// The first number whose files no earlier submission uses: its tasks may still need them.
int first_unused_number(const std::string& run_root) {
  int number = 1;
  while (path_exists(fmt::format("{}/sweep-{}.sbatch", run_root, number))) ++number;
  return number;
}

}  // namespace

void submit_slurm(const SweepOptions& options, const std::vector<const SweepPoint*>& points) {
  if (points.empty()) return;
  const int number = first_unused_number(options.run_root);
  const std::string script = fmt::format("{}/sweep-{}.sbatch", options.run_root, number);
  const std::string points_file = fmt::format("{}/points-{}.txt", options.run_root, number);
  std::string names;
  for (const SweepPoint* point : points) names += point->name + "\n";
  write_file_atomically(points_file, names);
  write_file_atomically(script, job_script(options, points.size(), points_file));
  const std::string sbatch = options.submit ? find_on_path("sbatch") : "";
  if (sbatch.empty()) {
    spdlog::log(options.submit ? spdlog::level::warn : spdlog::level::info,
                "{}{} prepared. To submit on the cluster, in {}:\n  sbatch {}",
                options.submit ? "there is no sbatch here. " : "",
                points.size() == 1 ? "1 point is" : fmt::format("{} points are", points.size()),
                fs::current_path().string(), shell_line({script}));
    return;
  }
  const std::string log = fmt::format("{}/sbatch-{}.log", options.run_root, number);
  ChildProcess child({sbatch, script}, log, {});
  std::optional<int> code;
  while (!(code = child.poll())) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::string said = fmt::format("{}", fmt::join(last_lines(log, 3), "; "));
  if (*code != 0) {
    throw ConfigError("sbatch refused {} with exit code {}: {}", script, *code, said);
  }
  spdlog::info("{} points submitted with {}: {}", points.size(), script, said);
}

}  // namespace ssa
