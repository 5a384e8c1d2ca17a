#pragma once

#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/data/picture.h"

#include "apps/child_process.h"
#include "support/files.h"

namespace ssa::testing {

/// `count` rows of CIFAR-10's binary version.
inline std::string cifar_rows(uint32_t count, uint64_t seed) {
  std::string text;
  for (uint32_t row = 0; row < count; ++row) {
    text += static_cast<char>(row % 10);
    for (uint64_t i = 0; i < 3072; ++i) {
      text += static_cast<char>(RngKey{.seed = seed, .step = row}.word(i));
    }
  }
  return text;
}

/// A prepared data set of 16 + 4 pictures and a config that trains on it at 4 x 4 pixels.
struct PictureFiles {
  PictureFiles() {
    write_bytes(dir / "data_batch_1.bin", cifar_rows(16, 1));
    write_bytes(dir / "test_batch.bin", cifar_rows(4, 2));
    REQUIRE(run_program("ssa-data", {"prepare", "cifar10", "--input", dir / "data_batch_1.bin",
                                     "--input", dir / "test_batch.bin", "--output", dir / "data"})
                .code == 0);
    write_bytes(
        dir / "c.yaml",
        "task: image_generation\n"
        "model: {layers: 2, width: 16, ffn_width: 16, heads: 2, position: relative_2d}\n"
        "ssa: {kind: local, layers: 1, windows: 2, sigma: 0.25}\n"
        "data: {path: " +
            dir / "data" +
            ", image_size: 4, validation: 4}\n"
            "train: {steps: 8, batch_size: 5, log_every: 1, eval_every: 4, checkpoint_every: 2}\n");
  }
  /// ssa-train with this config, in the folder `run`.
  std::vector<std::string> train_arguments(const std::string& run,
                                           const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--config", dir / "c.yaml", "--run-dir", dir / run};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Finished train(const std::string& run, const std::vector<std::string>& more = {}) const {
    return run_program("ssa-train", train_arguments(run, more));
  }
  /// The PNG that ssa-generate draws with the folder `run`.
  Picture drawn(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"--run", dir / "run", "--output", dir / "p.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = run_program("ssa-generate", arguments);
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    const std::string png = read_bytes(dir / "p.png");
    return decode_picture({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, "p.png");
  }
  TempDir dir;
};

}  // namespace ssa::testing
