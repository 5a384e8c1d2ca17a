// Pictures from files to files: prepared, trained on, scored and drawn by the programs.

#include <nlohmann/json.hpp>

#include "ssa/core/philox.h"
#include "ssa/data/picture.h"

#include "apps/child_process.h"
#include "support/files.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// `count` rows of CIFAR-10's binary version.
std::string rows(uint32_t count, uint64_t seed) {
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
    write_bytes(dir / "data_batch_1.bin", rows(16, 1));
    write_bytes(dir / "test_batch.bin", rows(4, 2));
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
  Finished train(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--config", dir / "c.yaml", "--run-dir", dir / run};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program("ssa-train", arguments);
  }
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

}  // namespace

TEST_CASE("pictures are learned, resumed in the midst of an epoch, scored and drawn") {
  const PictureFiles files;
  const Finished trained = files.train("run");
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(contains(trained.err, "bits/dim"));
  CHECK(contains(trained.err, "sub-pixels/s"));

  // 5 of 12 pictures a step: step 6 is in the midst of the third epoch.
  REQUIRE(files.train("half", {"--set", "train.steps=6"}).code == 0);
  REQUIRE(files.train("half", {"--resume", "auto"}).code == 0);
  const std::string model = "/checkpoints/step-8/model.safetensors";
  // The schedule of the shorter run differs, so a run of two halves is compared with itself.
  REQUIRE(files.train("again", {"--set", "train.steps=6"}).code == 0);
  REQUIRE(files.train("again", {"--resume", "auto"}).code == 0);
  CHECK(read_bytes(files.dir / "half" + model) == read_bytes(files.dir / "again" + model));

  const Finished scored = run_program("ssa-eval", {"--run", files.dir / "run", "--mode", "ensemble",
                                                   "--samples", "2", "--json", "-"});
  REQUIRE(scored.code == 0);
  const json score = json::parse(scored.out);
  CHECK(score["tokens"] == 4 * 48);
  CHECK(score["bits_per_dim"].get<double>() > 0);

  const Picture sheet = files.drawn({"--count", "5", "--columns", "3", "--seed", "2"});
  CHECK(sheet.width == 3 * 4 + 2);
  CHECK(sheet.height == 2 * 4 + 1);
  CHECK(sheet == files.drawn({"--count", "5", "--columns", "3", "--seed", "2"}));
  const Picture completed = files.drawn({"--complete", "1", "--given-rows", "2", "--count", "1"});
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t value = 0; value < 12; ++value) {
      const auto at = static_cast<size_t>(row * 27 + value);
      CHECK(completed.pixels[at] == completed.pixels[at + 15]);  // the picture, and its completion
    }
  }
}

TEST_CASE("what pictures do not have is refused by ssa-generate") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--set", "train.steps=1"}).code == 0);
  const auto refusal = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--run", files.dir / "run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = run_program("ssa-generate", arguments);
    CHECK(finished.code == 2);
    return finished.err;
  };
  CHECK(contains(refusal({}), "--output FILE.png"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--complete", "4"}), "0 to 3"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--given-rows", "4"}), "0 to 3"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--prompt", "a"}), "--prompt"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--mode", "ensemble"}), "ensemble"));
}
