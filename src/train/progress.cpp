#include "ssa/train/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ssa/train/log_file.h"

namespace ssa {

namespace {

int terminal_columns() {
  struct winsize size = {};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

/// A line cut at its double blanks.
std::vector<std::string> parts_of(const std::string& line) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = line.find("  ", begin)) != std::string::npos; begin = end + 2) {
    parts.push_back(line.substr(begin, end - begin));
  }
  parts.push_back(line.substr(begin));
  return parts;
}

int width_of(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;  // begins a character
  }));
}

/// Writes to the terminal. It may be gone, which is no error.
void show(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string format_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

std::string fit_line(const std::string& line, int columns) {
  int used = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80;
    if (starts_character && ++used > columns) return line.substr(0, i);
  }
  return line;
}

std::string fit_line(std::vector<std::string> parts, int columns) {
  const auto line = [&] { return fmt::format("{}", fmt::join(parts, "  ")); };
  while (parts.size() > 2 && width_of(line()) > columns) {
    parts.erase(parts.size() > 4 ? parts.end() - 3 : parts.end() - 2);
  }
  return fit_line(line(), columns);
}

Progress::Progress(std::string label, int64_t total, int64_t done,
                   std::chrono::duration<double> log_interval)
    : label_(std::move(label)),
      total_(total),
      first_(done),
      terminal_(console_moves_cursor() && console_shows_info()),
      log_interval_(log_interval),
      started_(Clock::now()),
      logged_(started_) {}

Progress::~Progress() { clear(); }

void Progress::update(int64_t done, const std::string& details, bool log) {
  const auto now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  const int64_t since_start = done - first_;
  const std::string left = since_start > 0
                               ? format_duration(elapsed / static_cast<double>(since_start) *
                                                 static_cast<double>(total_ - done))
                               : "?";
  const std::string line =
      fmt::format("{} {}/{}  {}  {} left", label_, done, total_, details, left);
  if (terminal_) {
    // One column less, because a full line wraps on some terminals and cannot be overwritten.
    show("\r\033[K" + fit_line(parts_of(line), terminal_columns() - 1));
    dirty_ = true;
    if (log) spdlog::debug("{}", line);
  } else if (log || now - logged_ >= log_interval_) {
    spdlog::info("{}", line);
    logged_ = now;
  }
}

void Progress::clear() {
  if (!dirty_) return;
  show("\r\033[K");
  dirty_ = false;
}

}  // namespace ssa
