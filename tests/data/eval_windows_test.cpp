#include "ssa/data/eval_windows.h"

#include <filesystem>

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("windows by hand") {
  CHECK(sliding_windows(10, 4, 2) ==
        std::vector<EvalWindow>{{0, 0, 4}, {2, 4, 6}, {4, 6, 8}, {6, 8, 10}});
  CHECK(sliding_windows(10, 4, 0) == std::vector<EvalWindow>{{0, 0, 4}, {4, 4, 8}, {8, 8, 10}});
  CHECK(sliding_windows(3, 4, 3) == std::vector<EvalWindow>{{0, 0, 3}});
  CHECK(sliding_windows(4, 4, 3) == std::vector<EvalWindow>{{0, 0, 4}});
}

TEST_CASE("every token is scored once, with the context that the overlap promises") {
  for (int64_t bytes = 1; bytes <= 40; ++bytes) {
    for (int64_t length = 1; length <= 14; ++length) {
      for (int64_t overlap = 0; overlap < length; ++overlap) {
        const auto windows = sliding_windows(bytes, length, overlap);
        std::vector<int> scored(static_cast<size_t>(bytes), 0);
        for (size_t i = 0; i < windows.size(); ++i) {
          const auto& [start, from, to] = windows[i];
          REQUIRE(start == static_cast<int64_t>(i) * (length - overlap));
          REQUIRE(from == (i == 0 ? 0 : start + overlap));
          REQUIRE(to == std::min(start + length, bytes));
          REQUIRE(from < to);  // no window without work
          for (int64_t j = from; j < to; ++j) ++scored[static_cast<size_t>(j)];
        }
        REQUIRE(scored == std::vector<int>(static_cast<size_t>(bytes), 1));
      }
    }
  }
}

TEST_CASE("window batches score each byte once and agree with brute force") {
  const TempDir folder;
  const std::string content = some_bytes(900);
  write_bytes(folder / "text", content);
  const TokenDataset dataset = TokenDataset::open(folder / "text");
  const std::vector<int32_t> split = tokens_of(dataset, Split::valid);
  REQUIRE(split.size() == 45);
  REQUIRE(split[0] == static_cast<unsigned char>(content[810]));
  for (const auto& [length, overlap] : std::vector<std::pair<int64_t, int64_t>>{
           {7, 3}, {10, 0}, {10, 9}, {45, 20}, {64, 32}, {1, 0}}) {
    CAPTURE(length, overlap);
    const auto windows = sliding_windows(45, length, overlap);
    const auto count = static_cast<int64_t>(windows.size());
    const Batch batch = window_batch(sequence_of(dataset, Split::valid), windows, 0, count, length);
    REQUIRE(batch.examples() == count);
    REQUIRE(batch.field(kIdsField).shape() == Shape{count, length});
    const std::vector<int32_t> all_inputs = numbers(batch, kIdsField);
    const std::vector<int32_t> all_targets = numbers(batch, kTargetsField);
    int64_t scored = 0;
    for (int64_t row = 0; row < count; ++row) {
      const EvalWindow& window = windows[static_cast<size_t>(row)];
      for (int64_t i = 0; i < length; ++i) {
        const int64_t position = window.start + i;
        const int32_t input = all_inputs[static_cast<size_t>(row * length + i)];
        const int32_t target = all_targets[static_cast<size_t>(row * length + i)];
        const bool inside = position > 0 && position < 45;
        REQUIRE(input == (inside ? split[static_cast<size_t>(position - 1)] : kStartByte));
        if (position >= window.score_from && position < window.score_to) {
          ++scored;
          REQUIRE(target == split[static_cast<size_t>(position)]);
        } else {
          REQUIRE(target == kNoTarget);
        }
      }
    }
    CHECK(scored == 45);
    // In pieces: the same.
    std::vector<int32_t> inputs, targets;
    for (int64_t first = 0; first < count; first += 3) {
      const Batch part = window_batch(sequence_of(dataset, Split::valid), windows, first,
                                      std::min<int64_t>(3, count - first), length);
      for (const int32_t input : numbers(part, kIdsField)) inputs.push_back(input);
      for (const int32_t target : numbers(part, kTargetsField)) targets.push_back(target);
    }
    CHECK(inputs == all_inputs);
    CHECK(targets == all_targets);
  }
}

TEST_CASE("windows that make no sense are refused") {
  error_of(ExitCode::usage, [] { sliding_windows(10, 4, 4); });
  error_of(ExitCode::usage, [] { sliding_windows(10, 4, -1); });
  error_of(ExitCode::usage, [] { sliding_windows(10, 0, 0); });
  error_of(ExitCode::data, [] { sliding_windows(0, 4, 2); });
  const TempDir folder;
  write_bytes(folder / "text", std::string(200, 'x'));
  const TokenDataset dataset = TokenDataset::open(folder / "text");
  REQUIRE(dataset.split_size(Split::test) == 10);
  const auto windows = sliding_windows(10, 4, 2);
  const auto batch = [&](const std::vector<EvalWindow>& of, int64_t first, int64_t count,
                         int64_t length) {
    return window_batch(sequence_of(dataset, Split::test), of, first, count, length);
  };
  CHECK_NOTHROW(batch(windows, 0, 4, 4));
  CHECK_THROWS_AS(batch(windows, 0, 5, 4), ShapeError);
  CHECK_THROWS_AS(batch(windows, -1, 1, 4), ShapeError);
  CHECK_THROWS_AS(batch(windows, 0, 1, 3), ShapeError);  // scores past its end
  CHECK_THROWS_AS(batch({{8, 8, 11}}, 0, 1, 4), ShapeError);
}

TEST_CASE("a file that shrinks during evaluation is an error") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(10'000));
  const TokenDataset dataset = TokenDataset::open(folder / "text");
  const auto windows = sliding_windows(dataset.split_size(Split::test), 64, 32);
  std::filesystem::resize_file(folder / "text", 9'000);
  CHECK(contains(
      error_of(ExitCode::data,
               [&] { window_batch(sequence_of(dataset, Split::test), windows, 0, 2, 64); }),
      "shrunk"));
}
