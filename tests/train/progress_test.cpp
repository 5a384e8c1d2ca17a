#include "ssa/train/progress.h"

#include <cstdlib>
#include <optional>
#include <sstream>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <poll.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ssa/train/log_file.h"

#include "support/skip.h"

using namespace ssa;

namespace {

/// Redirects standard error while it lives.
class OtherStandardError {
 public:
  explicit OtherStandardError(int descriptor) : saved_(::dup(STDERR_FILENO)) {
    REQUIRE(::dup2(descriptor, STDERR_FILENO) == STDERR_FILENO);
    ::close(descriptor);
  }
  ~OtherStandardError() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }
  OtherStandardError(const OtherStandardError&) = delete;
  OtherStandardError& operator=(const OtherStandardError&) = delete;

 private:
  int saved_;
};

/// Another TERM while it lives.
class OtherTerminal {
 public:
  explicit OtherTerminal(const char* name) {
    if (const char* before = std::getenv("TERM")) before_ = before;
    ::setenv("TERM", name, 1);
  }
  ~OtherTerminal() {
    if (before_) ::setenv("TERM", before_->c_str(), 1);
    if (!before_) ::unsetenv("TERM");
  }
  OtherTerminal(const OtherTerminal&) = delete;
  OtherTerminal& operator=(const OtherTerminal&) = delete;

 private:
  std::optional<std::string> before_;
};

/// Log lines of three updates of a Progress when not on a terminal.
std::string logged(double interval_seconds, bool log) {
  std::ostringstream text;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
  spdlog::default_logger()->set_pattern("%v");
  {
    const OtherStandardError nowhere(::open("/dev/null", O_WRONLY));
    Progress progress("step", 9, 0, std::chrono::duration<double>(interval_seconds));
    for (int i = 1; i <= 3; ++i) progress.update(i, "x", log);
  }
  spdlog::set_default_logger(before);
  return text.str();
}

auto lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("durations are written with the two units that matter") {
  CHECK(format_duration(0) == "0s");
  CHECK(format_duration(-3) == "0s");
  CHECK(format_duration(59.4) == "59s");
  CHECK(format_duration(59.6) == "1m00s");
  CHECK(format_duration(200) == "3m20s");
  CHECK(format_duration(3599.5) == "1h00m");
  CHECK(format_duration(3725) == "1h02m");
  CHECK(format_duration(100 * 3600.0) == "100h00m");
}

TEST_CASE("a line is cut behind whole characters") {
  CHECK(fit_line("step 1", 6) == "step 1");
  CHECK(fit_line("step 1", 5) == "step ");
  CHECK(fit_line("σσσ", 3) == "σσσ");
  CHECK(fit_line("aσ…b", 3) == "aσ…");
  CHECK(fit_line("aσ…b", 1) == "a");
  CHECK(fit_line("x", 0).empty());
}

TEST_CASE("a line too long keeps the counter, the loss and the time left") {
  const std::vector<std::string> parts = {"step 1000/100000", "loss 1.2345",   "1.781 bits/byte",
                                          "lr 1.00e-03",      "12345 bytes/s", "1h20m left"};
  const std::string all =
      "step 1000/100000  loss 1.2345  1.781 bits/byte  lr 1.00e-03  12345 bytes/s  1h20m left";
  CHECK(fit_line(parts, 86) == all);
  CHECK(fit_line(parts, 79) ==
        "step 1000/100000  loss 1.2345  1.781 bits/byte  12345 bytes/s  1h20m left");
  CHECK(fit_line(parts, 60) == "step 1000/100000  loss 1.2345  12345 bytes/s  1h20m left");
  CHECK(fit_line(parts, 43) == "step 1000/100000  loss 1.2345  1h20m left");
  CHECK(fit_line(parts, 39) == "step 1000/100000  1h20m left");
  CHECK(fit_line(parts, 10) == "step 1000/");
}

TEST_CASE("without a terminal a line is logged from time to time, or on request") {
  CHECK(lines(logged(1000, false)) == 0);
  CHECK(lines(logged(0, false)) == 3);
  CHECK(lines(logged(1000, true)) == 3);
  CHECK(logged(1000, true).starts_with("step 1/9  x  "));
}

TEST_CASE("on a terminal there is one line, not wider than it") {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) SSA_SKIP("no pseudo-terminal here (a bare chroot, perhaps)");
  REQUIRE(::grantpt(terminal) == 0);
  REQUIRE(::unlockpt(terminal) == 0);
  struct winsize size = {};
  size.ws_row = 24;
  size.ws_col = 21;
  REQUIRE(::ioctl(terminal, TIOCSWINSZ, &size) == 0);
  const int inner = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(inner >= 0);
  const auto before = spdlog::default_logger();
  set_up_console_log("info");
  const std::string expected = "\r\033[Kstep 1/9  0s left\r\033[K";
  std::string shown;
  {
    const OtherTerminal cursor("xterm");
    const int keep = ::dup(inner);  // the output is lost once nobody has this end open
    const OtherStandardError other(inner);
    Progress progress("step", 9);
    progress.update(1, "details wider than the terminal  9 bytes/s", true);
    progress.clear();
    // What was written may arrive in parts, and late on a busy machine.
    struct pollfd arrival = {terminal, POLLIN, 0};
    while (shown.size() < expected.size() && ::poll(&arrival, 1, 10000) == 1) {
      char part[200];
      const ssize_t bytes = ::read(terminal, part, sizeof part);
      if (bytes <= 0) break;
      shown.append(part, static_cast<size_t>(bytes));
    }
    ::close(keep);
  }
  {
    const OtherTerminal dumb("dumb");
    const OtherStandardError other(::open(::ptsname(terminal), O_RDWR | O_NOCTTY));
    CHECK_FALSE(console_moves_cursor());
  }
  spdlog::set_default_logger(before);
  ::close(terminal);
  CHECK(shown == expected);
}
