#pragma once

#include <cstdint>
#include <vector>

#include "ssa/core/philox.h"

namespace ssa {

// Random orders, from which source plans are cut.

/// Words 0 … count-1 of a stream.
std::vector<uint32_t> draw_words(const RngKey& key, int64_t count);
/// A uniform sample of `kept` of the numbers 0 … count-1, ascending: those with the smallest words.
std::vector<int32_t> draw_sample(const RngKey& key, int64_t count, int64_t kept);
/// Standard normals of words 0 … count-1 of a stream.
std::vector<double> draw_normals(const RngKey& key, int64_t count);

/// Standard deviation in elements of `sigma`, a fraction of `length`.
double noise_scale(double sigma, int64_t length);

/// An element with its noised place. Compares by place, then by index.
struct Noised {
  double place;
  int32_t index;
  bool operator<(const Noised& other) const {
    return place < other.place || (place == other.place && index < other.index);
  }
};

/// {j + scale·normals[j·stride], j} for j in [0, count), not yet sorted.
void noise_places(const double* normals, int64_t count, int64_t stride, double scale,
                  std::vector<Noised>& line);

/// Appends {j + scale·(standard normal of word j), j} for j in [begin, end).
void add_noised_places(const RngKey& key, int64_t begin, int64_t end, double scale,
                       std::vector<Noised>& line);
/// Leaves the `kept` last elements of the order. The smallest of them comes first, the others in
/// any order.
void keep_last(int64_t kept, std::vector<Noised>& line);

/// A rows × columns grid in which each row was permuted by noised columns, then each column by
/// noised rows: the raster index of the element that landed in each cell (rows·columns). The scales
/// are standard deviations in rows and in columns.
std::vector<int32_t> shuffle_grid(int64_t rows, int64_t columns, double row_scale,
                                  double column_scale, const RngKey& key);

}  // namespace ssa
