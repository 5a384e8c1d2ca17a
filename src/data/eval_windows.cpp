#include "ssa/data/eval_windows.h"

#include <algorithm>
#include <vector>

#include "ssa/core/error.h"

namespace ssa {

TokenSequence sequence_of(const TokenDataset& dataset, Split split) {
  return {dataset.split_size(split), dataset.vocabulary().start_token(),
          [dataset, split](int64_t offset, std::span<int32_t> out) {
            dataset.read(split, offset, out);
          }};
}

TokenSequence sequence_of(std::vector<int32_t> text, int32_t start_token) {
  const auto size = static_cast<int64_t>(text.size());
  return {size, start_token, [text = std::move(text)](int64_t offset, std::span<int32_t> out) {
            std::copy_n(text.begin() + offset, out.size(), out.begin());
          }};
}

std::vector<EvalWindow> sliding_windows(int64_t tokens, int64_t length, int64_t overlap) {
  if (length < 1 || overlap < 0 || overlap >= length) {
    throw ConfigError("eval.overlap = {} has to be at least 0 and less than eval.length = {}",
                      overlap, length);
  }
  if (tokens < 1) throw DataError("the split is empty: there is nothing to evaluate");
  std::vector<EvalWindow> windows;
  for (int64_t start = 0, scored = 0; scored < tokens; start += length - overlap) {
    const int64_t end = start + std::min(length, tokens - start);
    windows.push_back({start, scored, end});
    scored = end;
  }
  return windows;
}

Batch window_batch(const TokenSequence& all, const std::vector<EvalWindow>& windows, int64_t first,
                   int64_t count, int64_t length) {
  const auto total = static_cast<int64_t>(windows.size());
  SSA_CHECK(first >= 0 && count >= 0 && first <= total - count,
            "window_batch: windows {} … {} of {}", first, first + count - 1, total);
  const Shape shape{count, length};
  Batch batch(count);
  batch.add(kIdsField, DType::i32, shape);
  batch.add(kTargetsField, DType::i32, shape);
  const std::span<int32_t> all_inputs = batch.field(kIdsField).values<int32_t>();
  const std::span<int32_t> all_targets = batch.field(kTargetsField).values<int32_t>();
  std::ranges::fill(all_inputs, all.start_token);
  std::ranges::fill(all_targets, kNoTarget);
  std::vector<int32_t> tokens;
  for (int64_t row = 0; row < count; ++row) {
    const EvalWindow& window = windows[static_cast<size_t>(first + row)];
    const int64_t end = std::min(window.start + length, all.size);
    SSA_CHECK(
        window.start >= 0 && window.start < end && window.start <= window.score_from &&
            window.score_to <= end,
        "window_batch: window at {} scores {} … {}, outside its {} tokens or the {} there are",
        window.start, window.score_from, window.score_to, length, all.size);
    tokens.resize(static_cast<size_t>(end - window.start));
    all.read(window.start, tokens);
    int32_t* inputs = all_inputs.data() + row * length;    // (N)
    int32_t* targets = all_targets.data() + row * length;  // (N)
    if (window.start > 0) all.read(window.start - 1, std::span(inputs, 1));
    std::copy(tokens.begin(), tokens.end() - 1, inputs + 1);
    for (int64_t position = window.score_from; position < window.score_to; ++position) {
      targets[position - window.start] = tokens[static_cast<size_t>(position - window.start)];
    }
  }
  return batch;
}

}  // namespace ssa
