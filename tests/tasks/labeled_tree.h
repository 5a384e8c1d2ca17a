#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/philox.h"
#include "ssa/data/picture.h"
#include "ssa/data/prepare.h"
#include "ssa/tasks/load.h"

#include "support/files.h"

namespace ssa::testing {

inline constexpr int64_t kTreeClasses = 3, kTreeTrain = 12, kTreeVal = 7;

/// A tree of small square pictures, and the data set prepared from it. Classes can be told by their
/// colour. PNG, so that nothing is lost.
struct LabeledTree {
  LabeledTree() {
    for (int64_t i = 0; i < kTreeTrain; ++i) add("train", i);
    for (int64_t i = 0; i < kTreeVal; ++i) add("val", i);
    PrepareOptions options;
    options.name = "imagenet";
    options.inputs = {dir / "tree"};
    options.output = dir / "data";
    prepare_encoded_images(options);
  }

  /// Picture i of a split, whose class is i % kTreeClasses.
  static Picture picture(const std::string& split, int64_t i) {
    const RngKey key{.seed = split == "val" ? 7U : 8U, .step = static_cast<uint32_t>(i)};
    Picture picture{18 + i % 5, 18 + i % 5, {}};
    for (int64_t at = 0; at < picture.height * picture.width * 3; ++at) {
      const uint32_t light = at % 3 == i % kTreeClasses ? 160 : 0;
      picture.pixels.push_back(
          static_cast<uint8_t>(light + key.word(static_cast<uint64_t>(at)) % 96));
    }
    return picture;
  }

  /// Swin of two stages on pictures of 16 pixels: 8 × 8 and 4 × 4 cells, windows of 4.
  std::string yaml() const {
    return "task: image_classification\n"
           "model: {swin: {embed_width: 8, depths: [2, 1], heads: [1, 2], window: 4, patch: 2,\n"
           "               drop_path: 0.2}}\n"
           "ssa: {kind: local, windows: 4, sigma: 0.75}\n"
           "data: {path: " +
           (dir / "data") +
           ", image_size: 16, resize: 16}\n"
           "train: {steps: 8, batch_size: 4, micro_batch: 2, clip_norm: 5.0, log_every: 1,\n"
           "        eval_every: 4, checkpoint_every: 2, keep_checkpoints: 9,\n"
           "        optimizer: {kind: adamw, lr: 0.01}}\n";
  }
  Config config(const std::vector<std::string>& overrides = {}) const {
    return parse_config(yaml(), "c.yaml", overrides, [](ConfigCheck& check) { check_task(check); });
  }

  TempDir dir;

 private:
  void add(const std::string& split, int64_t i) const {
    const std::string folder =
        fmt::format("{}/tree/{}/class{}", dir.path(), split, i % kTreeClasses);
    std::filesystem::create_directories(folder);
    const std::vector<uint8_t> png = encode_png(picture(split, i));
    write_bytes(fmt::format("{}/{:02}.png", folder, i),
                {reinterpret_cast<const char*>(png.data()), png.size()});
  }
};

}  // namespace ssa::testing
