#include "ssa/train/progress.h"

#include <catch2/catch.hpp>

using namespace ssa;

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
