#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <list>
#include <thread>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "ssa/core/error.h"
#include "ssa/core/system_limits.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/sweep/child_process.h"
#include "ssa/sweep/sweep.h"
#include "ssa/tasks/metric.h"
#include "ssa/train/progress.h"
#include "ssa/train/stop_signal.h"

#include "sweep/failure_text.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(50);
constexpr auto kShowInterval = std::chrono::seconds(1);

/// A running program of a point.
struct Job {
  const SweepPoint* point;
  std::vector<std::string> command;
  std::vector<EvalMode> missing;  ///< missing evaluations at its start; ssa-eval does the first
  ChildProcess child;
  Clock::time_point started;
  std::string program() const { return std::filesystem::path(command.front()).filename(); }
};

/// Environment variables that divide the cores among the jobs and keep waiting threads from
/// spinning for long. They do not override the user's; a launcher of ranks divides the cores
/// itself.
std::vector<std::string> thread_settings(int64_t jobs, bool launcher) {
  std::vector<std::string> settings;
  if (std::getenv("OMP_NUM_THREADS") == nullptr && !launcher) {
    settings.push_back(
        fmt::format("OMP_NUM_THREADS={}", std::max<int64_t>(1, usable_processors() / jobs)));
  }
  if (std::getenv("GOMP_SPINCOUNT") == nullptr && std::getenv("OMP_WAIT_POLICY") == nullptr) {
    settings.emplace_back("GOMP_SPINCOUNT=20000");
  }
  return settings;
}

class LocalLauncher {
 public:
  LocalLauncher(const SweepOptions& options, const std::vector<const SweepPoint*>& points)
      : options_(options),
        jobs_(std::max<int64_t>(1, options.jobs)),
        environment_(thread_settings(jobs_, !options.run_under.empty())),
        waiting_(points.begin(), points.end()),
        all_(points),
        progress_("step", total_steps(), done_steps(), std::chrono::seconds(60)) {}

  void run() {
    spdlog::info("{} points to run, {} at a time{}{}; output in {}/*/{}", all_.size(), jobs_,
                 environment_.empty() ? "" : ", with ", fmt::join(environment_, " "),
                 options_.run_root, kSweepLogName);
    while (!waiting_.empty() || !running_.empty()) {
      if (StopSignal::requested()) stop();
      while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < jobs_) {
        const SweepPoint* point = waiting_.front();
        waiting_.pop_front();
        start(*point, status_of(*point), {});
      }
      reap();
      show();
      std::this_thread::sleep_for(kPollInterval);
    }
    progress_.clear();
  }

 private:
  PointStatus status_of(const SweepPoint& point) const {
    return read_point_status(options_.run_dir(point), point.config, options_.evaluations,
                             options_.split);
  }

  int64_t total_steps() const {
    int64_t total = 0;
    for (const SweepPoint* point : all_) total += point->config.train.steps;
    return total;
  }

  int64_t done_steps() const {
    int64_t done = 0;
    for (const SweepPoint* point : all_) done += status_of(*point).step;
    return done;
  }

  /// Starts the next command of a point whose `previous` command succeeded, if there is one.
  void start(const SweepPoint& point, const PointStatus& status,
             const std::vector<std::string>& previous) {
    const std::string run_dir = options_.run_dir(point);
    const std::vector<std::string> command = next_command(options_, point, status);
    progress_.clear();
    if (command.empty()) {
      ++finished_;
      spdlog::info("{}: finished ({} of {})", point.name, finished_, all_.size());
      return;
    }
    if (command == previous) {
      fail(point, {std::filesystem::path(command.front()).filename(), 1},
           "ended well without leaving a result");
      return;
    }
    make_directories(run_dir);
    clear_failure(run_dir);
    const std::string log = fmt::format("{}/{}", run_dir, kSweepLogName);
    std::vector<std::string> whole = options_.run_under;
    whole.insert(whole.end(), command.begin(), command.end());
    {
      OutputFile file(log, OutputFile::Mode::append);
      file.write("$ " + shell_line(whole) + "\n");
      file.close();
    }
    running_.push_back(
        Job{&point, command, status.missing, ChildProcess(whole, log, environment_), Clock::now()});
    if (status.trained) return;
    spdlog::info("{}: training{}", point.name,
                 status.step > 0 ? fmt::format(", on from step {}", status.step) : "");
  }

  void fail(const SweepPoint& point, const PointFailure& failure, const std::string& how) {
    ++failed_;
    const std::string run_dir = options_.run_dir(point);
    record_failure(run_dir, failure);
    progress_.clear();
    spdlog::error("{}: {}", point.name,
                  how.empty() ? describe_failure(run_dir, failure) : failure.program + " " + how);
  }

  /// Handles the programs that have ended.
  void reap() {
    for (auto job = running_.begin(); job != running_.end();) {
      const std::optional<int> code = job->child.poll();
      if (!code) {
        ++job;
        continue;
      }
      const Job ended = std::move(*job);
      job = running_.erase(job);
      finish(ended, *code);
    }
  }

  void finish(const Job& job, int code) {
    const SweepPoint& point = *job.point;
    progress_.clear();
    if (was_stopped(code)) {
      spdlog::warn("{}: stopped at step {}", point.name, status_of(point).step);
      return;
    }
    if (code != 0) {
      fail(point, {job.program(), code}, "");
      return;
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - job.started).count();
    const PointStatus status = status_of(point);
    if (job.program() == "ssa-train") {
      spdlog::info("{}: trained in {}{}", point.name, format_duration(seconds),
                   score_text(point, status.score, "valid"));
    } else {
      const EvalMode mode = job.missing.front();
      spdlog::info(
          "{}: scored in {}{}", point.name, format_duration(seconds),
          score_text(point,
                     score_of(options_.run_dir(point), point.config.task, mode, options_.split),
                     fmt::format("{} {}", name(options_.split), name(mode))));
    }
    if (!StopSignal::requested()) start(point, status, job.command);
  }

  /// Whether a signal stopped the program, after a save or before there was anything to save.
  bool was_stopped(int code) const {
    return code == static_cast<int>(ExitCode::interrupted) ||
           (stopping_ && (code == 128 + SIGTERM || code == 128 + SIGINT));
  }

  static std::string score_text(const SweepPoint& point, std::optional<double> score,
                                std::string_view what) {
    if (!score) return "";
    return fmt::format(", {} {:.4f} {}", what, *score, traits_of(point.config.task).metric().name);
  }

  void stop() {
    waiting_.clear();
    if (stopping_) return;
    stopping_ = true;
    progress_.clear();
    spdlog::warn("stopping: waiting for {} running points to save", running_.size());
    for (const Job& job : running_) job.child.send(SIGTERM);
  }

  void show() {
    const auto now = Clock::now();
    if (now - shown_ < kShowInterval || running_.empty()) return;
    shown_ = now;
    std::string text = fmt::format("{} of {} points done", finished_, all_.size());
    if (failed_ > 0) text += fmt::format(", {} failed", failed_);
    text += fmt::format(", {} running:", running_.size());  // their names were logged
    for (const Job& job : running_) {
      if (&job != &running_.front()) text += ",";
      if (job.program() == "ssa-eval") {
        text += fmt::format(" scoring {}", name(job.missing.front()));
        continue;
      }
      const PointStatus status = status_of(*job.point);
      text += fmt::format(" {}/{}", status.step, job.point->config.train.steps);
      if (status.loss) text += fmt::format(" loss {:.3f}", *status.loss);
    }
    progress_.update(done_steps(), text, false);
  }

  const SweepOptions& options_;
  int64_t jobs_;
  std::vector<std::string> environment_;
  std::deque<const SweepPoint*> waiting_;
  std::vector<const SweepPoint*> all_;
  std::list<Job> running_;
  Progress progress_;
  Clock::time_point shown_ = Clock::now();
  size_t finished_ = 0, failed_ = 0;
  bool stopping_ = false;
};

}  // namespace

void run_local(const SweepOptions& options, const std::vector<const SweepPoint*>& points) {
  if (points.empty()) return;
  LocalLauncher(options, points).run();
}

}  // namespace ssa
