#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/sampling/source_plan.h"

#include "sampling/plan_testing.h"

namespace ssa {
namespace {

/// The spec is refused, by validate() and by draw_plan(), with all `parts` in the message.
void check_refused(const PlanSpec& spec, const std::vector<std::string>& parts) {
  CHECK_THROWS_AS(draw_plan(spec, RngKey{}), ConfigError);
  try {
    validate(spec);
    FAIL("accepted, although expected: " << parts.front());
  } catch (const ConfigError& error) {
    CHECK(error.code() == ExitCode::usage);
    for (const std::string& part : parts) CHECK_THAT(error.what(), Catch::Contains(part));
  }
}

}  // namespace

TEST_CASE("Windows that do not divide the length name the nearest that do", "[plan]") {
  for (const bool causal : {false, true}) {
    check_refused(testing::local_1d(3072, 5, 0.1, causal),
                  {"3072 positions", "5 equal windows", "4 or 6 windows", "3070 or 3075"});
  }
  check_refused(testing::local_1d(10, 4, 0.1, false), {"2 or 5 windows", "8 or 12 positions"});
  check_refused(testing::local_1d(13, 4, 0.1, false), {"1 or 13 windows", "12 or 16 positions"});
  check_refused(testing::local_1d(4, 7, 0.1, false), {"are 4 windows", "or 7 positions"});
  check_refused(testing::local_1d(4, 0, 0.1, false), {"windows is 0", "nearest valid value is 1"});
  check_refused(testing::local_1d(4, -3, 0.1, false), {"windows is -3"});
  check_refused(testing::bands_2d(32, 32, 5, 0.1, 0.1), {"32 rows", "4 or 8 windows", "30 or 35"});
}

TEST_CASE("Sizes and grids are checked", "[plan]") {
  PlanSpec dense;
  check_refused(dense, {"positions is 0", "at least 1"});
  dense.positions = int64_t{1} << 31;
  check_refused(dense, {"2147483648 positions are too many", "2147483647"});
  PlanSpec grid = testing::blocks_2d(4, 6, 2, 3, 0.1, 0.1);
  validate(grid);
  grid.positions = 25;
  check_refused(grid, {"4 rows × 6 columns", "25 positions"});
  grid = testing::blocks_2d(4, 6, 2, 3, 0.1, 0.1);
  grid.rows = 0;
  check_refused(grid, {"rows is 0"});
  // A product that overflows back to the right number must not pass.
  grid.rows = int64_t{1} << 62;
  grid.columns = 12;
  check_refused(grid, {"does not have 24 positions"});
}

TEST_CASE("Blocks and windows must tile", "[plan]") {
  check_refused(testing::blocks_2d(12, 12, 5, 3, 0.1, 0.1),
                {"rows 12", "block_rows 5", "block_rows 4 or 6", "rows 10 or 15"});
  check_refused(testing::blocks_2d(12, 12, 3, 0, 0.1, 0.1), {"block_columns is 0"});
  check_refused(testing::swin(56, 15, 5, 0, 0.75), {"rows 56", "window_rows 14 or 28"});
  check_refused(testing::swin(56, 14, 6, 0, 0.75), {"window_rows 14", "block_rows 2 or 7"});
  check_refused(testing::swin(56, 14, 7, 14, 0.75), {"shift_rows is 14", "equivalent value is 0"});
  check_refused(testing::swin(56, 14, 7, -7, 0.75), {"shift_rows is -7", "equivalent value is 7"});
  check_refused(testing::unbiased_swin(56, 15, 0, 0.75), {"rows 56", "window_rows 14 or 28"});
  check_refused(testing::unbiased_swin(56, 14, 14, 0.75), {"shift_rows is 14"});
  validate(testing::unbiased_swin(56, 14, 7, 0.75));  // sub-windows and σ do not matter
}

TEST_CASE("Sigma must be finite and not negative", "[plan]") {
  const double infinity = std::numeric_limits<double>::infinity();
  check_refused(testing::local_1d(8, 2, -0.1, true), {"sigma is -0.1", "nearest valid value is 0"});
  check_refused(testing::local_1d(8, 2, infinity, true), {"sigma is inf", "value is 1e6"});
  check_refused(testing::local_1d(8, 2, std::nan(""), true), {"sigma is nan"});
  check_refused(testing::blocks_2d(4, 6, 2, 3, 0.1, -1.0), {"sigma_columns is -1"});
  check_refused(testing::swin(56, 14, 7, 0, infinity), {"sigma is inf"});
  validate(testing::local_1d(8, 2, std::numeric_limits<double>::max(), true));
}

TEST_CASE("Drop must leave a source", "[plan]") {
  check_refused(testing::unbiased(10, -0.1), {"drop is -0.1", "nearest valid value is 0"});
  check_refused(testing::unbiased(10, 1.0), {"drop is 1", "none of 10 sources", "0.9"});
  check_refused(testing::unbiased(10, 0.97), {"drop is 0.97", "0.9"});
  check_refused(testing::unbiased(10, std::nan("")), {"drop is nan"});
  check_refused(testing::unbiased_swin(8, 4, 0, 0.99), {"drop is 0.99", "none of 16 sources"});
  check_refused(testing::unbiased_swin(8, 4, 0, -1), {"drop is -1"});
  CHECK(draw_plan(testing::unbiased(10, 0.9), RngKey{}).sources.size() == 1);
}

}  // namespace ssa
