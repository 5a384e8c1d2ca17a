#include "sampling/noisy_order.h"

#include <algorithm>

namespace ssa {

namespace {

/// Calls f(i, word i) for i in [begin, end).
template <class F>
void for_words(const RngKey& key, int64_t begin, int64_t end, F&& f) {
  for (int64_t i = begin; i < end;) {
    const auto block = key.words(static_cast<uint32_t>(i / 4));
    const int64_t block_end = std::min(i / 4 * 4 + 4, end);
    for (; i < block_end; ++i) f(i, block[static_cast<size_t>(i % 4)]);
  }
}

template <class T, class F>
std::vector<T> map_words(const RngKey& key, int64_t count, F&& f) {
  std::vector<T> values(static_cast<size_t>(count));
  for_words(key, 0, count,
            [&](int64_t i, uint32_t word) { values[static_cast<size_t>(i)] = f(word); });
  return values;
}

}  // namespace

std::vector<uint32_t> draw_words(const RngKey& key, int64_t count) {
  return map_words<uint32_t>(key, count, [](uint32_t word) { return word; });
}

std::vector<int32_t> draw_sample(const RngKey& key, int64_t count, int64_t kept) {
  std::vector<uint64_t> order;  // word in the upper half, number in the lower: no two are equal
  order.reserve(static_cast<size_t>(count));
  for (const uint32_t word : draw_words(key, count)) {
    order.push_back(uint64_t{word} << 32 | order.size());
  }
  if (kept < count) std::nth_element(order.begin(), order.begin() + kept, order.end());
  std::vector<int32_t> sample(static_cast<size_t>(kept));
  std::transform(order.begin(), order.begin() + kept, sample.begin(),
                 [](uint64_t element) { return static_cast<int32_t>(element & 0xffffffffu); });
  std::sort(sample.begin(), sample.end());
  return sample;
}

std::vector<double> draw_normals(const RngKey& key, int64_t count) {
  return map_words<double>(key, count, normal_from_word);
}

double noise_scale(double sigma, int64_t length) {
  // Keeps the product finite for absurdly large sigma, where the order is uniform anyway.
  constexpr double kUniform = 1e12;
  return std::min(sigma, kUniform) * static_cast<double>(length);
}

void noise_places(const double* normals, int64_t count, int64_t stride, double scale,
                  std::vector<Noised>& line) {
  line.resize(static_cast<size_t>(count));
  for (int64_t j = 0; j < count; ++j) {
    line[static_cast<size_t>(j)] = {static_cast<double>(j) + scale * normals[j * stride],
                                    static_cast<int32_t>(j)};
  }
}

void add_noised_places(const RngKey& key, int64_t begin, int64_t end, double scale,
                       std::vector<Noised>& line) {
  for_words(key, begin, end, [&](int64_t j, uint32_t word) {
    line.push_back(
        {static_cast<double>(j) + scale * normal_from_word(word), static_cast<int32_t>(j)});
  });
}

void keep_last(int64_t kept, std::vector<Noised>& line) {
  const auto first = line.end() - kept;
  std::nth_element(line.begin(), first, line.end());
  line.erase(line.begin(), first);
}

std::vector<int32_t> shuffle_grid(int64_t rows, int64_t columns, double row_scale,
                                  double column_scale, const RngKey& key) {
  const int64_t cells = rows * columns;
  const std::vector<double> normals = draw_normals(key, 2 * cells);
  std::vector<Noised> line;

  std::vector<int32_t> horizontal(static_cast<size_t>(cells));
  for (int64_t r = 0; r < rows; ++r) {
    noise_places(&normals[static_cast<size_t>(r * columns)], columns, 1, column_scale, line);
    std::sort(line.begin(), line.end());
    for (int64_t c = 0; c < columns; ++c) {
      horizontal[static_cast<size_t>(r * columns + c)] =
          static_cast<int32_t>(r * columns + line[static_cast<size_t>(c)].index);
    }
  }

  std::vector<int32_t> vertical(static_cast<size_t>(cells));
  for (int64_t c = 0; c < columns; ++c) {
    noise_places(&normals[static_cast<size_t>(cells + c)], rows, columns, row_scale, line);
    std::sort(line.begin(), line.end());
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t from = line[static_cast<size_t>(r)].index;
      vertical[static_cast<size_t>(r * columns + c)] =
          horizontal[static_cast<size_t>(from * columns + c)];
    }
  }
  return vertical;
}

}  // namespace ssa
