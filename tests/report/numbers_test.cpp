#include "ssa/report/numbers.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

using namespace ssa::report;

TEST_CASE("significant digits") {
  CHECK(significant(1.2) == "1.200");
  CHECK(significant(0.0123456) == "0.01235");
  CHECK(significant(0.792, 3) == "0.792");
  CHECK(significant(12345.6) == "12346");
  CHECK(significant(0.0) == "0");
  CHECK(significant(1.5e-7, 3) == "1.5e-07");
  CHECK(significant(std::nullopt) == "–");
  CHECK(significant(std::nan("")) == "–");
  CHECK(significant(std::numeric_limits<double>::infinity()) == "–");
}

TEST_CASE("grouped digits") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(-1234567) == "-1,234,567");
  CHECK(grouped_number(1234567.8) == "1,234,568");
  CHECK(grouped_number(9.87654) == "9.88");
  CHECK(grouped_number(std::nullopt) == "–");
  CHECK(grouped_number(1e300) == "1e+300");
}

TEST_CASE("numbers with units") {
  CHECK(with_prefix(2718464.0) == "2.72M");
  CHECK(with_prefix(247e6) == "247M");
  CHECK(with_prefix(12.0) == "12");
  CHECK(bytes_text(5e9) == "4.66 GiB");
  CHECK(bytes_text(1048576.0) == "1.00 MiB");
  CHECK(duration_text(0.0123) == "12.3 ms");
  CHECK(duration_text(5.678) == "5.68 s");
  CHECK(duration_text(125.0) == "2 min 5 s");
  CHECK(duration_text(5025.0) == "1 h 23 min");
  CHECK(duration_text(300000.0) == "3 d 11 h");
}

TEST_CASE("units to plot in") {
  CHECK(time_unit(100).name == "s");
  CHECK(time_unit(240).name == "min");
  CHECK(time_unit(240).size == 60);
  CHECK(time_unit(4 * 3600).name == "h");
  CHECK(flop_unit(1.88e13).name == "TFLOP");
  CHECK(memory_unit(4.7e8).name == "MiB");
}

TEST_CASE("median") {
  CHECK_FALSE(median({}));
  CHECK(median({3}) == 3);
  CHECK(median({9, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 9}) == 3);
}
