#include "ssa/train/log_file.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

spdlog::sink_ptr console;  // null before set_up_console_log(), as in tests

/// All log files. They are one sink, because a logger's list of sinks must not change while other
/// threads log.
const std::shared_ptr<spdlog::sinks::dist_sink_mt>& files() {
  static const auto instance = std::make_shared<spdlog::sinks::dist_sink_mt>();
  return instance;
}

/// Makes the default logger write to files().
void attach_files() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::vector<spdlog::sink_ptr>& sinks = spdlog::default_logger()->sinks();
  if (std::find(sinks.begin(), sinks.end(), files()) == sinks.end()) sinks.push_back(files());
  spdlog::default_logger()->flush_on(spdlog::level::debug);
}

/// "warning: " or "error: " in front of such a message.
class LevelWord final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string_view word = message.level == spdlog::level::warn  ? "warning: "
                                  : message.level == spdlog::level::err ? "error: "
                                                                        : "";
    line.append(word.data(), word.data() + word.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<LevelWord>();
  }
};

/// For messages on the console; %* stands for the word of the level.
std::unique_ptr<spdlog::formatter> formatter(const std::string& pattern) {
  auto made = std::make_unique<spdlog::pattern_formatter>();
  made->add_flag<LevelWord>('*').set_pattern(pattern);
  return made;
}

}  // namespace

void set_up_console_log(const std::string& level) {
  const auto color = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  console = color;
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org: set and not empty
  if (no_color && *no_color) color->set_color_mode(spdlog::color_mode::never);
  console->set_formatter(formatter("%^%*%v%$"));
  console->set_level(spdlog::level::from_str(level));
  auto logger = std::make_shared<spdlog::logger>("ssa", console);
  logger->set_level(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

void log_as_rank(int rank, int size) {
  if (!console || rank == 0 || size == 1) return;
  console->set_formatter(formatter(fmt::format("%^rank {}: %*%v%$", rank)));
  console->set_level(std::max(console->level(), spdlog::level::warn));
}

bool console_shows_info() {
  return console ? console->should_log(spdlog::level::info)
                 : spdlog::should_log(spdlog::level::info);
}

bool console_moves_cursor() {
  const char* terminal = std::getenv("TERM");
  const bool dumb = !terminal || !*terminal || std::string_view(terminal) == "dumb";
  return isatty(STDERR_FILENO) == 1 && !dumb;
}

struct LogFile::Sink {
  spdlog::sink_ptr sink;
};

LogFile::LogFile(const std::string& path) : sink_(std::make_unique<Sink>()) {
  try {
    sink_->sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  } catch (const spdlog::spdlog_ex& error) {
    throw CheckpointError("{}: {}", path, error.what());
  }
  sink_->sink->set_pattern("%Y-%m-%d %H:%M:%S %z %l %v");
  sink_->sink->set_level(spdlog::level::debug);
  files()->add_sink(sink_->sink);
  attach_files();
}

LogFile::~LogFile() { files()->remove_sink(sink_->sink); }

void LogFile::error(const std::string& message) noexcept {
  try {
    sink_->sink->log(spdlog::details::log_msg("", spdlog::level::err, message));
    sink_->sink->flush();
  } catch (...) {  // a full disk must not hide the original error
  }
}

}  // namespace ssa
