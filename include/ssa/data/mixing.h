#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ssa/data/picture_geometry.h"

namespace ssa {

// Mixup (Zhang et al. 2018), CutMix (Yun et al. 2019) and label smoothing, as timm's Mixup in mode
// "batch" applies them. All images of a step's global batch are mixed alike: each with its partner,
// the one beside it. The last one of an odd batch is its own partner and stays as it is. (timm
// takes the one as far from the end as it is from the beginning, and refuses odd batches. In a
// random order the two are alike, and neighbours are nearly always in one micro-batch: there each
// picture is read once.)

/// The published values.
struct Mixing {
  double probability = 1;           ///< that a batch is mixed
  double mixup_alpha = 0.8;         ///< λ ~ Beta(α, α) of mixup; 0 leaves mixup out
  double cutmix_alpha = 1;          ///< λ ~ Beta(α, α) of CutMix; 0 leaves CutMix out
  double switch_probability = 0.5;  ///< of CutMix, where both are in
};

/// How a batch is mixed.
struct Mix {
  double lambda = 1;            ///< part of the image itself; the rest is its partner's
  std::optional<Box> box = {};  ///< CutMix: what is taken from the partner; none: mixup
};

/// The mix of a step (less than 2^32), a pure function of (seed, step). CutMix cuts its square at
/// the edges of the picture, and corrects λ to the area that is left. Throws ShapeError for a
/// negative α and for an empty picture.
Mix draw_mix(const Mixing& mixing, int64_t height, int64_t width, uint64_t seed, int64_t step);

/// The row of the partner in a batch.
constexpr int64_t partner_of(int64_t row, int64_t batch) {
  const int64_t beside = row % 2 == 0 ? row + 1 : row - 1;
  return beside < batch ? beside : row;
}

/// Mixes `partner` into `image`, both (3, height, width). Throws ShapeError for other sizes.
void mix_image(const Mix& mix, int64_t height, int64_t width, std::span<float> image,
               std::span<const float> partner);

/// Mixes a whole batch (batch, 3, height, width) in place. Throws ShapeError for another size.
void mix_batch(const Mix& mix, int64_t batch, int64_t height, int64_t width,
               std::span<float> images);

/// Writes the target of an image, one probability per class: λ·s(label) + (1-λ)·s(partner_label),
/// where s is 1 - smoothing at its label, and smoothing / classes more everywhere. Throws
/// ShapeError for a label that is no class.
void soft_target(const Mix& mix, int64_t label, int64_t partner_label, double smoothing,
                 std::span<float> target);

}  // namespace ssa
