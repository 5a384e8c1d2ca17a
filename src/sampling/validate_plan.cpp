#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/valid_neighbours.h"
#include "ssa/sampling/source_plan.h"

#include "sampling/plan_kinds.h"

namespace ssa {

namespace {

void check_positive(std::string_view what, int64_t value) {
  if (value < 1) throw ConfigError("source plan: {} is {}; it must be at least 1", what, value);
}

/// `extent` of `what` is to be cut into `count` equal windows.
void check_windows(std::string_view what, int64_t extent, int64_t count) {
  if (count >= 1 && extent % count == 0) return;
  const std::string windows = nearest_divisors(extent, count);
  if (count < 1) {
    throw ConfigError("source plan: windows is {}; the nearest valid value is {}", count, windows);
  }
  throw ConfigError(
      "source plan: {} {} cannot be cut into {} equal windows; the nearest valid values are {} "
      "windows, or {} {}",
      extent, what, count, windows, nearest_multiples(count, extent), what);
}

/// `extent` of `what` is to be cut into pieces of `size`, called `piece`.
void check_tiles(std::string_view what, int64_t extent, std::string_view piece, int64_t size) {
  if (size >= 1 && extent % size == 0) return;
  const std::string sizes = nearest_divisors(extent, size);
  if (size < 1) {
    throw ConfigError("source plan: {} is {}; the nearest valid value is {}", piece, size, sizes);
  }
  throw ConfigError(
      "source plan: {} {} is not a multiple of {} {}; the nearest valid values are {} {}, or {} {}",
      what, extent, piece, size, piece, sizes, what, nearest_multiples(size, extent));
}

void check_sigma(std::string_view what, double sigma) {
  if (std::isfinite(sigma) && sigma >= 0.0) return;
  throw ConfigError(
      "source plan: {} is {}; it is a fraction of the input length, finite and not negative (0: "
      "plain windows; 1e6 is as good as uniform); the nearest valid value is {}",
      what, sigma, sigma > 0.0 ? "1e6" : "0");
}

/// `candidates` sources, of which some are dropped.
void check_drop(const PlanSpec& spec, int64_t candidates) {
  const double largest = 1.0 - 1.0 / static_cast<double>(candidates);
  if (!(spec.drop >= 0.0)) {  // NaN too
    throw ConfigError(
        "source plan: drop is {}; it must be 0 ≤ drop < 1 (the part of the sources left out); the "
        "nearest valid value is 0",
        spec.drop);
  }
  if (spec.drop >= 1.0 || kept_sources(spec.drop, candidates) < 1) {
    throw ConfigError(
        "source plan: drop is {}, which leaves none of {} sources; the largest value that leaves "
        "one is {:.6g}",
        spec.drop, candidates, largest);
  }
}

void check_shift(std::string_view what, int64_t shift, int64_t window) {
  if (shift >= 0 && shift < window) return;
  throw ConfigError(
      "source plan: {} is {}; it must be 0 ≤ shift < {}, the window's side; the nearest "
      "equivalent value is {}",
      what, shift, window, (shift % window + window) % window);
}

void check_grid(const PlanSpec& spec) {
  check_positive("rows", spec.rows);
  check_positive("columns", spec.columns);
  if (spec.positions % spec.rows != 0 || spec.positions / spec.rows != spec.columns) {
    throw ConfigError(
        "source plan: a grid of {} rows × {} columns does not have {} positions; make positions "
        "the product of the two",
        spec.rows, spec.columns, spec.positions);
  }
}

void check_sigmas(const PlanSpec& spec) {
  check_sigma("sigma", spec.sigma);
  check_sigma("sigma_columns", spec.sigma_columns);
}

void check_local_2d(const PlanSpec& spec) {
  check_grid(spec);
  check_sigmas(spec);
  if (spec.causal) {
    check_windows("rows", spec.rows, spec.windows);
  } else {
    check_tiles("rows", spec.rows, "block_rows", spec.block_rows);
    check_tiles("columns", spec.columns, "block_columns", spec.block_columns);
  }
}

/// The windows of either kind, without what is drawn in them.
void check_shifted_windows(const PlanSpec& spec) {
  check_grid(spec);
  check_tiles("rows", spec.rows, "window_rows", spec.window_rows);
  check_tiles("columns", spec.columns, "window_columns", spec.window_columns);
  check_shift("shift_rows", spec.shift_rows, spec.window_rows);
  check_shift("shift_columns", spec.shift_columns, spec.window_columns);
}

void check_swin_windows(const PlanSpec& spec) {
  check_shifted_windows(spec);
  check_sigmas(spec);
  check_tiles("window_rows", spec.window_rows, "block_rows", spec.block_rows);
  check_tiles("window_columns", spec.window_columns, "block_columns", spec.block_columns);
}

void check_unbiased_swin_windows(const PlanSpec& spec) {
  check_shifted_windows(spec);
  check_drop(spec, spec.window_rows * spec.window_columns);
}

}  // namespace

void validate(const PlanSpec& spec) {
  check_positive("positions", spec.positions);
  if (spec.positions > std::numeric_limits<int32_t>::max()) {
    throw ConfigError("source plan: {} positions are too many; the largest number is {}",
                      spec.positions, std::numeric_limits<int32_t>::max());
  }
  switch (spec.kind) {
    case PlanKind::dense:
      return;
    case PlanKind::unbiased:
      return check_drop(spec, spec.positions);
    case PlanKind::local_1d:
      check_windows("positions", spec.positions, spec.windows);
      return check_sigma("sigma", spec.sigma);
    case PlanKind::local_2d:
      return check_local_2d(spec);
    case PlanKind::swin_windows:
      return check_swin_windows(spec);
    case PlanKind::unbiased_swin_windows:
      return check_unbiased_swin_windows(spec);
  }
}

}  // namespace ssa
