#include "ssa/data/eval_windows.h"

#include <algorithm>
#include <functional>

#include "ssa/core/error.h"

namespace ssa {

namespace {

/// Copies bytes offset … offset+out.size()-1 of the split.
using ReadBytes = std::function<void(int64_t offset, std::span<uint8_t> out)>;

LmBatch make_batch(const ReadBytes& read, int64_t split_bytes,
                   const std::vector<EvalWindow>& windows, int64_t first, int64_t count,
                   int64_t length) {
  const auto total = static_cast<int64_t>(windows.size());
  SSA_CHECK(first >= 0 && count >= 0 && first <= total - count,
            "window_batch: windows {} … {} of {}", first, first + count - 1, total);
  LmBatch batch;
  batch.sequences = count;
  batch.length = length;
  batch.inputs.assign(static_cast<size_t>(count * length), kStartByte);
  batch.targets.assign(static_cast<size_t>(count * length), kNoTarget);
  std::vector<uint8_t> bytes;
  for (int64_t row = 0; row < count; ++row) {
    const EvalWindow& window = windows[static_cast<size_t>(first + row)];
    const int64_t end = std::min(window.start + length, split_bytes);
    SSA_CHECK(window.start >= 0 && window.start < end && window.start <= window.score_from &&
                  window.score_to <= end,
              "window_batch: window at {} scores {} … {}, outside its {} tokens or the split's {}",
              window.start, window.score_from, window.score_to, length, split_bytes);
    bytes.resize(static_cast<size_t>(end - window.start));
    read(window.start, bytes);
    int32_t* inputs = batch.inputs.data() + row * length;    // (N)
    int32_t* targets = batch.targets.data() + row * length;  // (N)
    if (window.start > 0) {
      uint8_t before = 0;
      read(window.start - 1, std::span(&before, 1));
      inputs[0] = before;
    }
    std::copy(bytes.begin(), bytes.end() - 1, inputs + 1);
    for (int64_t position = window.score_from; position < window.score_to; ++position) {
      targets[position - window.start] = bytes[static_cast<size_t>(position - window.start)];
    }
  }
  return batch;
}

}  // namespace

std::vector<EvalWindow> sliding_windows(int64_t split_bytes, int64_t length, int64_t overlap) {
  if (length < 1 || overlap < 0 || overlap >= length) {
    throw ConfigError("eval.overlap = {} has to be at least 0 and less than eval.length = {}",
                      overlap, length);
  }
  if (split_bytes < 1) throw DataError("the split is empty: there is nothing to evaluate");
  std::vector<EvalWindow> windows;
  for (int64_t start = 0, scored = 0; scored < split_bytes; start += length - overlap) {
    const int64_t end = start + std::min(length, split_bytes - start);
    windows.push_back({start, scored, end});
    scored = end;
  }
  return windows;
}

LmBatch window_batch(std::span<const uint8_t> split, const std::vector<EvalWindow>& windows,
                     int64_t first, int64_t count, int64_t length) {
  const auto read = [split](int64_t offset, std::span<uint8_t> out) {
    std::ranges::copy(split.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  return make_batch(read, static_cast<int64_t>(split.size()), windows, first, count, length);
}

LmBatch window_batch(const ByteDataset& dataset, Split split,
                     const std::vector<EvalWindow>& windows, int64_t first, int64_t count,
                     int64_t length) {
  const auto read = [&dataset, split](int64_t offset, std::span<uint8_t> out) {
    dataset.read(split, offset, out);
  };
  return make_batch(read, dataset.split_size(split), windows, first, count, length);
}

}  // namespace ssa
