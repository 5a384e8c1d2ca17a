#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/data/picture.h"
#include "ssa/eval/generate.h"
#include "ssa/models/image_decoder.h"

namespace ssa {

/// Pictures to draw, and how.
struct PictureOptions {
  int64_t count = 1;
  SamplingOptions sampling;
  /// The beginning of every picture: its first sub-pixels, the same for all. Not whole pictures.
  std::vector<uint8_t> given;
  /// Sub-models whose predictions are averaged: each draws plans by these specs, one per layer. No
  /// specs: the model itself, with dense attention.
  std::vector<PlanSpec> specs = {};
  int64_t samples = 1;
  uint64_t plan_seed = 1;
  /// Pictures that are drawn side by side, whose keys and values are held at once. 0: as many as
  /// the memory that is free has room for.
  int64_t at_a_time = 0;
};

/// How many pictures are drawn side by side where `free` bytes of memory are free: their keys and
/// values take at most half of them, but for a single picture. Throws OutOfMemoryError if not even
/// one fits.
int64_t pictures_at_a_time(const ImageDecoder& model, const PictureOptions& options, int64_t free);
/// The same for the memory that is free on a device now.
int64_t pictures_at_a_time(const ImageDecoder& model, const PictureOptions& options, Device device);

/// Draws square pictures of `side` pixels from a model, sub-pixel by sub-pixel, with dense
/// attention or as an ensemble: the mean of the probabilities that sub-models predict. All pictures
/// have the sub-models that evaluate() draws for the first one. Draws are keyed by (seed, picture,
/// sub-pixel), so that a picture does not depend on how many are drawn. `emit` is called with the
/// number of sub-pixels drawn since its last call; it returns false to stop. Returns the pictures;
/// what was not drawn is black. Throws ConfigError for options outside their ranges.
std::vector<Picture> generate_pictures(const ImageDecoder& model, int64_t layers, int64_t side,
                                       const PictureOptions& options, Device device,
                                       const std::function<bool(int64_t)>& emit = {});

/// Pictures of one size in rows of `columns`, with a black line of one pixel between them.
Picture contact_sheet(const std::vector<Picture>& pictures, int64_t columns);

}  // namespace ssa
