#include "ssa/train/log_file.h"

#include <regex>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a log file gets what a quiet console does not show, and the error of the end") {
  const TempDir dir;
  const auto before = spdlog::default_logger();
  set_up_console_log("error");
  CHECK_FALSE(console_shows_info());
  {
    LogFile file(dir / "log.txt");
    spdlog::debug("a detail");
    spdlog::info("a line");
    file.error("the end");
  }
  spdlog::info("behind the end");
  const std::string text = read_bytes(dir / "log.txt");
  CHECK(contains(text, " debug a detail\n"));
  CHECK(std::regex_search(
      text, std::regex("^2\\d{3}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d [+-]\\d\\d:\\d\\d debug ")));
  CHECK(contains(text, " info a line\n"));
  CHECK(contains(text, " error the end\n"));
  CHECK_FALSE(contains(text, "behind"));
  set_up_console_log("info");
  CHECK(console_shows_info());
  spdlog::set_default_logger(before);
}

TEST_CASE("a warning on the console says that it is one, on each rank") {
  const TempDir dir;
  const auto before = spdlog::default_logger();
  const int terminal = ::dup(STDERR_FILENO);
  const int file = ::open((dir / "console.txt").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  ::dup2(file, STDERR_FILENO);
  set_up_console_log("info");
  spdlog::info("a line");
  spdlog::warn("odd");
  log_as_rank(1, 2);
  spdlog::info("another line");
  spdlog::warn("odd here");
  spdlog::set_default_logger(before);
  ::dup2(terminal, STDERR_FILENO);
  ::close(terminal);
  ::close(file);
  CHECK(read_bytes(dir / "console.txt") == "a line\nwarning: odd\nrank 1: warning: odd here\n");
}
