#include "models/likely_classes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssa/backend/backend.h"

namespace ssa {

namespace {

constexpr int64_t kRowsAtATime = 128;

/// Numbers of the rows that have a target.
std::vector<int32_t> rows_with_target(int64_t rows, const Tensor& targets) {
  std::vector<int32_t> numbers(static_cast<size_t>(rows));
  std::iota(numbers.begin(), numbers.end(), 0);
  if (!targets.defined()) return numbers;
  const Tensor on_host = targets.on_host();
  const auto* target = on_host.data<int32_t>();
  std::erase_if(numbers, [&](int32_t row) { return target[row] < 0; });
  return numbers;
}

Tensor chosen_rows(const Tensor& x, std::span<const int32_t> rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const Tensor numbers = Tensor::from(std::vector<int32_t>(rows.begin(), rows.end()), {count},
                                      x.device(), MemoryCategory::workspace);
  Tensor chosen = Tensor::empty({1, count, x.dim(1)}, x.dtype(), x.device());
  backend(x.device()).gather_rows(x.view({1, x.dim(0), x.dim(1)}), numbers, chosen);
  return chosen.view({count, x.dim(1)});
}

/// Numbers of the `most` highest of `values`, ascending. Of equal ones the first are taken.
template <class T>
std::vector<int32_t> highest(const T* values, int64_t count, int64_t most) {
  std::vector<int32_t> chosen;
  if (most >= count) {  // all of them, without comparing any
    chosen.resize(static_cast<size_t>(count));
    std::iota(chosen.begin(), chosen.end(), 0);
    return chosen;
  }
  const auto is_higher = [values](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  for (int32_t i = 0; i < count; ++i) {  // the lowest of the chosen is in front of the heap
    const bool full = std::ssize(chosen) == most;
    if (full && !(values[i] > values[chosen.front()])) continue;
    if (full) {
      std::pop_heap(chosen.begin(), chosen.end(), is_higher);
      chosen.pop_back();
    }
    chosen.push_back(i);
    std::push_heap(chosen.begin(), chosen.end(), is_higher);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

template <class T>
void append_rows(const Tensor& log_probabilities, int64_t most, std::vector<LikelyClass>& all) {
  const int64_t rows = log_probabilities.dim(0), classes = log_probabilities.dim(1);
  const T* row = log_probabilities.data<T>();
  for (int64_t r = 0; r < rows; ++r, row += classes) {
    for (const int32_t number : highest(row, classes, most)) {
      all.push_back({number, static_cast<float>(std::exp(row[number]))});
    }
  }
}

}  // namespace

LikelyClasses likely_classes(const Tensor& x, const Tensor& targets, int64_t most,
                             const LogProbabilities& log_probabilities) {
  const std::vector<int32_t> rows = rows_with_target(x.dim(0), targets);
  LikelyClasses likely;
  for (size_t first = 0; first < rows.size(); first += kRowsAtATime) {
    const size_t count = std::min(rows.size() - first, static_cast<size_t>(kRowsAtATime));
    const Tensor logs =
        log_probabilities(chosen_rows(x, std::span(rows).subspan(first, count))).on_host();
    likely.per_term = std::min(most, logs.dim(1));
    const bool wide = logs.dtype() == DType::f64;
    (wide ? append_rows<double> : append_rows<float>)(logs, likely.per_term, likely.all);
  }
  return likely;
}

}  // namespace ssa
