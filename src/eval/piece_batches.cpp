#include "eval/piece_batches.h"

#include <utility>

namespace ssa {

namespace {

std::vector<int64_t> numbers_needed(int64_t pieces, int64_t pieces_per_batch, int64_t rank,
                                    int64_t ranks) {
  std::vector<int64_t> numbers;
  for (int64_t piece = rank; piece < pieces; piece += ranks) {
    const int64_t number = piece / pieces_per_batch;
    if (numbers.empty() || numbers.back() != number) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

PieceBatches::PieceBatches(std::function<Batch(int64_t number)> read, int64_t pieces,
                           int64_t pieces_per_batch, int64_t rank, int64_t ranks)
    : pieces_per_batch_(pieces_per_batch),
      numbers_(numbers_needed(pieces, pieces_per_batch, rank, ranks)),
      coming_([this, read = std::move(read)](
                  int64_t i) { return read(numbers_[static_cast<size_t>(i)]); },
              0, static_cast<int64_t>(numbers_.size()), /*depth=*/2, /*workers=*/1) {}

const Batch& PieceBatches::of(int64_t piece) {
  const int64_t number = piece / pieces_per_batch_;
  while (taken_ == 0 || numbers_[taken_ - 1] != number) {
    batch_ = coming_.next();
    ++taken_;
  }
  return *batch_;
}

}  // namespace ssa
