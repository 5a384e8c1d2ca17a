#include "convert/position_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr int kTaps = 4;

/// A number between four neighbours: where they are, and their shares.
struct Interpolation {
  std::array<int64_t, kTaps> at;
  std::array<double, kTaps> weights;
};

/// Keys' cubic convolution with torch's a.
double cubic(double distance) {
  constexpr double a = -0.75;
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

std::vector<Interpolation> interpolations(int64_t from, int64_t to) {
  std::vector<Interpolation> all;
  for (int64_t i = 0; i < to; ++i) {
    const double place =
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const auto left = static_cast<int64_t>(std::floor(place));
    Interpolation& one = all.emplace_back();
    for (int tap = 0; tap < kTaps; ++tap) {
      const int64_t at = left + tap - 1;
      const auto k = static_cast<size_t>(tap);
      one.at[k] = std::clamp<int64_t>(at, 0, from - 1);
      one.weights[k] = cubic(place - static_cast<double>(at));
    }
  }
  return all;
}

/// 2w-1 of a table with (2w-1)² rows.
int64_t side_of(int64_t rows, const std::string& name) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(rows))));
  if (side * side == rows && side % 2 == 1) return side;
  throw CheckpointError("{}: {} rows are no table of a window: (2w-1)² for a side of w", name,
                        rows);
}

}  // namespace

Tensor resized_table(const Tensor& table, int64_t rows, const std::string& name) {
  const int64_t heads = table.dim(1);
  const int64_t from = side_of(table.dim(0), name), to = side_of(rows, name);
  const std::vector<Interpolation> along = interpolations(from, to);
  Tensor result = Tensor::empty({rows, heads}, DType::f32, table.device(), MemoryCategory::data);
  const float* const in = table.data<float>();
  float* out = result.data<float>();
  for (const Interpolation& row : along) {
    for (const Interpolation& column : along) {
      for (int64_t head = 0; head < heads; ++head) {
        double sum = 0;
        for (size_t r = 0; r < kTaps; ++r) {
          for (size_t c = 0; c < kTaps; ++c) {
            sum += row.weights[r] * column.weights[c] *
                   static_cast<double>(in[(row.at[r] * from + column.at[c]) * heads + head]);
          }
        }
        *out++ = static_cast<float>(sum);
      }
    }
  }
  return result;
}

}  // namespace ssa
