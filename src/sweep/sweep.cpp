#include "ssa/sweep/sweep.h"

#include <algorithm>
#include <array>

#include <spdlog/spdlog.h>

#include "ssa/core/error.h"
#include "ssa/sweep/child_process.h"

#include "sweep/failure_text.h"

namespace ssa {

namespace {

/// The sweep's exit code for a failed point's exit code: 1 unless the code is documented.
int documented(int code) {
  if (code > 128) return code;  // killed by a signal: a retry may succeed
  constexpr std::array kCodes = {ExitCode::usage,    ExitCode::data, ExitCode::checkpoint,
                                 ExitCode::diverged, ExitCode::peer, ExitCode::interrupted};
  const auto same = [code](ExitCode known) { return static_cast<int>(known) == code; };
  return std::any_of(kCodes.begin(), kCodes.end(), same) ? code : 1;
}

void add_overrides(std::vector<std::string>& command, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) command.insert(command.end(), {"--set", text});
}

}  // namespace

std::string describe_failure(const std::string& run_dir, const PointFailure& failure) {
  constexpr size_t kLines = 5;
  std::string text =
      failure.code > 128
          ? fmt::format("{} was killed by signal {}", failure.program, failure.code - 128)
          : fmt::format("{} failed with exit code {}", failure.program, failure.code);
  const std::string log = fmt::format("{}/{}", run_dir, kSweepLogName);
  const std::vector<std::string> lines = last_lines(log, kLines);
  if (lines.empty()) return text;
  text += fmt::format("; the end of {}:", log);
  for (const std::string& line : lines) text += "\n    " + line;
  return text;
}

std::vector<std::string> next_command(const SweepOptions& options, const SweepPoint& point,
                                      const PointStatus& status) {
  const std::string run_dir = options.run_dir(point);
  if (!status.trained) {
    std::vector<std::string> command = {options.program_dir + "/ssa-train", "--config",
                                        options.config};
    add_overrides(command, point.overrides);
    command.insert(command.end(), {"--run-dir", run_dir, "--resume", "auto"});
    if (options.device != "auto") command.insert(command.end(), {"--device", options.device});
    return command;
  }
  if (status.missing.empty()) return {};
  const EvalMode mode = status.missing.front();
  std::vector<std::string> command = {options.program_dir + "/ssa-eval",
                                      "--run",
                                      run_dir,
                                      "--mode",
                                      std::string(name(mode)),
                                      "--split",
                                      std::string(name(options.split))};
  if (mode == EvalMode::ensemble) {
    command.insert(command.end(), {"--samples", std::to_string(point.config.eval.samples)});
  }
  if (options.device != "auto") command.insert(command.end(), {"--device", options.device});
  return command;
}

std::vector<const SweepPoint*> points_to_run(const SweepOptions& options,
                                             const std::vector<SweepPoint>& points) {
  std::vector<const SweepPoint*> left;
  size_t finished = 0;
  for (const SweepPoint& point : points) {
    const std::string run_dir = options.run_dir(point);
    const PointStatus status =
        read_point_status(run_dir, point.config, options.evaluations, options.split);
    if (status.state == PointState::finished) {
      ++finished;
    } else if (status.state == PointState::running) {
      spdlog::warn("{}: skipped, another process works in {}", point.name, run_dir);
    } else if (status.state == PointState::failed && !options.retry_failed) {
      spdlog::warn("{}: skipped: {}\n  --retry-failed tries it again", point.name,
                   describe_failure(run_dir, *status.failure));
    } else {
      left.push_back(&point);
    }
  }
  if (finished > 0) spdlog::info("{} of {} points are finished already", finished, points.size());
  return left;
}

int sweep_exit_code(const SweepOptions& options, const std::vector<SweepPoint>& points) {
  bool all_finished = true;
  for (const SweepPoint& point : points) {
    const PointStatus status =
        read_point_status(options.run_dir(point), point.config, options.evaluations, options.split);
    if (status.state == PointState::failed) return documented(status.failure->code);
    all_finished = all_finished && status.state == PointState::finished;
  }
  return all_finished ? 0 : static_cast<int>(ExitCode::interrupted);
}

}  // namespace ssa
