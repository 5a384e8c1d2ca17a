// Pictures from files to files: prepared, trained on, scored and drawn by the programs.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "apps/picture_files.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

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
  const double bits_per_dim = score["bits_per_dim"];
  CHECK(bits_per_dim > 0);
  CHECK(score["stderr"]["bits_per_dim"].get<double>() > 0);
  for (const auto& [kind, parts] : {std::pair{"channels", 3}, std::pair{"rows", 4}}) {
    CAPTURE(kind);
    const json& list = score["parts"][kind];
    REQUIRE(list.size() == static_cast<size_t>(parts));
    double total = 0;
    for (const json& part : list) total += part["value"].get<double>();
    CHECK(total / parts == Approx(bits_per_dim).epsilon(1e-12));
    CHECK(list[0]["stderr"].get<double>() > 0);
  }

  const Picture sheet = files.drawn({"--count", "5", "--columns", "3", "--seed", "2"});
  CHECK(sheet.width == 3 * 4 + 2);
  CHECK(sheet.height == 2 * 4 + 1);
  CHECK(sheet == files.drawn({"--count", "5", "--columns", "3", "--seed", "2"}));
  const std::string whole = read_bytes(files.dir / "p.png");  // stays if nothing is drawn
  CHECK(run_program("ssa-generate", {"--run", files.dir / "run", "--output", files.dir / "p.png",
                                     "--temperature", "-1"})
            .code == 2);
  CHECK(read_bytes(files.dir / "p.png") == whole);
  const std::vector<std::string> two = {"--mode", "ensemble", "--samples", "2", "--count", "2"};
  CHECK(files.drawn(two).width == 2 * 4 + 1);
  CHECK(files.drawn(two) == files.drawn(two));
}

TEST_CASE("pictures are written into a pipe too, which stays one") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--set", "train.steps=1"}).code == 0);
  const std::vector<std::string> two = {"--count", "2", "--seed", "3"};
  const Picture drawn = files.drawn(two);
  const std::string png = read_bytes(files.dir / "p.png"), pipe = files.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  std::vector<std::string> arguments = {"--run", files.dir / "run", "--output", pipe};
  arguments.insert(arguments.end(), two.begin(), two.end());
  Child reader("/bin/cat", {pipe});
  CHECK(run_program("ssa-generate", arguments).code == 0);
  CHECK(reader.wait().out == png);
  CHECK(std::filesystem::is_fifo(pipe));
  CHECK(drawn.width == 2 * 4 + 1);
}

TEST_CASE("pictures that wait for the reader of a pipe end at the first signal") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--set", "train.steps=1"}).code == 0);
  const std::string pipe = files.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  Child child("ssa-generate", {"--run", files.dir / "run", "--output", pipe, "--count", "1"});
  child.wait_until([&] { return child.handles(SIGTERM); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until it waits
  child.send(SIGTERM);
  CHECK(child.wait().code == 75);
}

TEST_CASE("a picture of the test split or of a file is completed exactly") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--set", "train.steps=1"}).code == 0);
  const int64_t side = GENERATE(0, 4, 12);  // 0: of the test split
  CAPTURE(side);
  std::string what = "1";
  if (side > 0) {
    what = files.dir / "mine.png";
    Picture mine{side, side, {}};
    for (int64_t i = 0; i < side * side * 3; ++i) {
      // Equal in each square that becomes a pixel of the model's.
      const int64_t row = i / (3 * side) * 4 / side, column = i / 3 % side * 4 / side;
      mine.pixels.push_back(static_cast<uint8_t>(60 * row + 15 * column + i % 3));
    }
    const std::vector<uint8_t> png = encode_png(mine);
    write_bytes(what, std::string(png.begin(), png.end()));
  }
  const std::string mode = GENERATE("renorm", "ensemble");
  const Picture completed = files.drawn(
      {"--complete", what, "--given-rows", "3", "--count", "1", "--mode", mode, "--samples", "2"});
  REQUIRE(completed.width == 4 + 1 + 4);
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t value = 0; value < 12; ++value) {
      const auto at = static_cast<size_t>(row * 27 + value);
      CHECK(completed.pixels[at] == completed.pixels[at + 15]);  // the picture, and its completion
      if (side > 0) CHECK(completed.pixels[at] == 60 * row + 15 * (value / 3) + value % 3);
    }
  }
}

TEST_CASE("a score of another valid split of pictures is not the run's") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--set", "train.steps=1"}).code == 0);
  const auto score = [&](const std::string& split, const std::string& setting) {
    const Finished scored = run_program("ssa-eval", {"--run", files.dir / "run", "--mode", "renorm",
                                                     "--split", split, "--set", setting});
    CAPTURE(scored.err);
    REQUIRE(scored.code == 0);
    return scored.out;
  };
  CHECK_FALSE(contains(score("valid", "data.validation=4"), "not what"));
  CHECK(contains(score("valid", "data.validation=2"),
                 "not what the run itself is scored on: data.validation: there 4, now 2"));
  CHECK(contains(score("train", "data.validation=2"), "data.validation: there 4, now 2"));
  CHECK_FALSE(contains(score("test", "data.validation=2"), "not what"));
  const std::string run = files.dir / "run";
  CHECK(json::parse(read_bytes(run + "/eval-renorm-valid.json"))["tokens"] == 4 * 48);
  CHECK(json::parse(read_bytes(run + "/eval-renorm-valid.data.validation-2.json"))["tokens"] ==
        2 * 48);
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
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--complete", "1", "--given-rows", "4"}),
                 "0 to 3"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--given-rows", "2"}), "--complete"));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--length", "5"}), "--count"));
  const std::string nowhere = refusal({"--output", files.dir / "none/p.png"});
  CHECK(contains(nowhere, "cannot be written"));
  CHECK_FALSE(contains(nowhere, "a second"));  // nothing was drawn
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--prompt", "a"}), "--prompt"));
  const std::vector<uint8_t> wide = encode_png({4, 6, std::vector<uint8_t>(72, 9)});
  write_bytes(files.dir / "wide.png", std::string(wide.begin(), wide.end()));
  CHECK(contains(refusal({"--output", files.dir / "p.png", "--complete", files.dir / "wide.png"}),
                 "the picture has 6 x 4 pixels; the model draws 4 x 4"));
}
