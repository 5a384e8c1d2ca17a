#include "ssa/data/distribution_augmentation.h"

#include <algorithm>
#include <numeric>

#include "ssa/core/error.h"
#include "ssa/core/philox.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = 3;

/// A cell of a picture.
struct Cell {
  int64_t row, column;
};

/// Fills every cell of the picture with the one that `source` names.
template <class F>
void move_cells(std::span<uint8_t> pixels, int64_t side, F source) {
  const std::vector<uint8_t> before(pixels.begin(), pixels.end());
  for (int64_t row = 0; row < side; ++row) {
    for (int64_t column = 0; column < side; ++column) {
      const Cell from = source(Cell{row, column});
      std::copy_n(&before[static_cast<size_t>((from.row * side + from.column) * kChannels)],
                  kChannels, &pixels[static_cast<size_t>((row * side + column) * kChannels)]);
    }
  }
}

/// Permutation number `number` of 0 … N-1 in lexicographic order.
template <size_t N>
std::array<size_t, N> permutation(int32_t number) {
  std::array<size_t, N> order;
  std::iota(order.begin(), order.end(), size_t{0});
  for (int32_t i = 0; i < number; ++i) std::ranges::next_permutation(order);
  return order;
}

void rotate(std::span<uint8_t> pixels, int64_t side, int32_t quarter_turns) {
  for (int32_t turn = 0; turn < quarter_turns; ++turn) {
    move_cells(pixels, side, [side](Cell to) { return Cell{side - 1 - to.column, to.row}; });
  }
}

void permute_channels(std::span<uint8_t> pixels, int32_t variant) {
  const auto order = permutation<kChannels>(variant);
  for (size_t at = 0; at < pixels.size(); at += kChannels) {
    const std::array<uint8_t, kChannels> before = {pixels[at], pixels[at + 1], pixels[at + 2]};
    for (size_t c = 0; c < kChannels; ++c) pixels[at + c] = before[order[c]];
  }
}

void permute_quarters(std::span<uint8_t> pixels, int64_t side, int32_t variant) {
  const auto order = permutation<4>(variant);
  const int64_t half = side / 2;
  move_cells(pixels, side, [&](Cell to) {
    const auto from = order[static_cast<size_t>(to.row / half * 2 + to.column / half)];
    return Cell{static_cast<int64_t>(from / 2) * half + to.row % half,
                static_cast<int64_t>(from % 2) * half + to.column % half};
  });
}

}  // namespace

std::vector<int32_t> draw_variants(std::span<const Augmentation> active, uint64_t seed,
                                   int64_t epoch, int64_t image) {
  const RngKey key{
      .seed = seed, .purpose = RngPurpose::augmentation, .step = static_cast<uint32_t>(epoch)};
  // Each kind of change has a word of its own, so that switching one on leaves the others alone.
  const auto words = key.words(static_cast<uint32_t>(image));
  std::vector<int32_t> drawn;
  for (const Augmentation augmentation : active) {
    const uint64_t word = words[static_cast<size_t>(augmentation)];
    drawn.push_back(
        static_cast<int32_t>(word * static_cast<uint64_t>(variants(augmentation)) >> 32));
  }
  return drawn;
}

void augment(std::span<uint8_t> pixels, int64_t side, Augmentation augmentation, int32_t variant) {
  SSA_CHECK(static_cast<int64_t>(pixels.size()) == side * side * kChannels,
            "augment: {} bytes for a square of {} pixels", pixels.size(), side);
  SSA_CHECK(variant >= 0 && variant < variants(augmentation), "augment: variant {} of {}", variant,
            variants(augmentation));
  if (variant == 0) return;
  switch (augmentation) {
    case Augmentation::rotation:
      return rotate(pixels, side, variant);
    case Augmentation::color:
      return permute_channels(pixels, variant);
    case Augmentation::transposition:
      return move_cells(pixels, side, [](Cell to) { return Cell{to.column, to.row}; });
    case Augmentation::jigsaw:
      SSA_CHECK(side % 2 == 0, "augment: a jigsaw of a picture with {} rows", side);
      return permute_quarters(pixels, side, variant);
  }
}

}  // namespace ssa
