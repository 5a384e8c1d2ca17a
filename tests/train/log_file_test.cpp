#include "ssa/train/log_file.h"

#include <regex>

#include <spdlog/spdlog.h>

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
