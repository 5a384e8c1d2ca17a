// What `ssa-data prepare imagenet` makes of pictures: whole, damaged, stopped and continued.

#include <csignal>
#include <filesystem>

#include <sys/wait.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/data/picture_geometry.h"

#include "image_inputs.h"
#include "picture_fixture.h"
#include "support/skip.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// A tree with twelve pictures, small shards, and what an undisturbed call makes of it.
struct ManyPictures {
  TempDir folder;
  Members whole;

  ManyPictures() {
    for (int i = 0; i < 12; ++i) {
      const std::string name = std::string("train/n0") + (i % 2 ? "1" : "2") + "/";
      write_tree(folder / "in",
                 {{name + static_cast<char>('a' + i) + ".JPEG", jpeg_of(20 + i, 30)}});
    }
    prepare_encoded_images(options("whole"));
    whole = folder_bytes(folder / "whole");
  }
  PrepareOptions options(const std::string& output) const {
    PrepareOptions options = imagenet({folder / "in"}, folder / output);
    options.encoded.shard_bytes = 3000;  // two or three pictures
    return options;
  }
  /// Where the next call begins.
  int64_t done(PrepareOptions options) const {
    int64_t first = -1;
    options.progress = [&](const PrepareProgress& now) {
      if (first < 0) first = now.images;
    };
    prepare_encoded_images(options);
    return first;
  }
};

PrepareOptions stopped_after(PrepareOptions options, int64_t images) {
  const auto seen = std::make_shared<int64_t>(0);
  options.progress = [seen](const PrepareProgress& now) { *seen = now.images; };
  options.interrupted = [seen, images] { return *seen >= images; };
  return options;
}

}  // namespace

TEST_CASE("imagenet: any number of workers makes the same bytes") {
  const ManyPictures many;
  CHECK(many.whole.size() > 5);  // several shards
  for (const int64_t workers : {1, 4}) {
    PrepareOptions options = many.options("out");
    options.encoded.workers = workers;
    prepare_encoded_images(options);
    CHECK(folder_bytes(many.folder / "out") == many.whole);
  }
  CHECK_NOTHROW(EncodedImages::open(many.folder / "out").verify());
}

TEST_CASE("imagenet: a stopped call is continued to the same bytes") {
  const ManyPictures many;
  const PrepareOptions options = many.options("out");
  CHECK_THAT(imagenet_error(ExitCode::interrupted, stopped_after(options, 5)),
             Catch::Contains("5 of 12 images are done"));
  CHECK_FALSE(fs::exists(many.folder / "out"));
  CHECK_THAT(imagenet_error(ExitCode::interrupted, stopped_after(options, 9)),
             Catch::Contains("9 of 12"));
  CHECK(many.done(options) == 9);
  CHECK(folder_bytes(many.folder / "out") == many.whole);
  CHECK_FALSE(fs::exists(many.folder / "out.partial"));
}

TEST_CASE("imagenet: a call that is stopped before the first picture leaves nothing") {
  const ManyPictures many;
  PrepareOptions options = many.options("out");
  options.interrupted = [] { return true; };
  CHECK_THAT(imagenet_error(ExitCode::interrupted, options), Catch::Contains("listed"));
  CHECK(many.folder.names() == std::vector<std::string>{"in", "whole"});
}

TEST_CASE("imagenet: a killed call is continued to the same bytes") {
  const ManyPictures many;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    PrepareOptions options = many.options("out");
    options.progress = [](const PrepareProgress& now) {
      if (now.images == 8) ::raise(SIGKILL);
    };
    prepare_encoded_images(options);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGKILL);
  CHECK_FALSE(fs::exists(many.folder / "out"));
  // A torn record at the end, and bytes that no record speaks of.
  const std::string partial = many.folder / "out.partial/";
  write_bytes(partial + "journal.bin", read_bytes(partial + "journal.bin") + "torn");
  write_bytes(partial + "shard-00007.bin", "left over");
  const int64_t done = many.done(many.options("out"));
  CHECK(done >= 4);
  CHECK(done <= 8);
  CHECK(folder_bytes(many.folder / "out") == many.whole);
}

TEST_CASE("imagenet: what a stopped call has done counts only for the same pictures") {
  const ManyPictures many;
  const PrepareOptions options = many.options("out");
  const auto stop = [&] { imagenet_error(ExitCode::interrupted, stopped_after(options, 8)); };
  SECTION("another size") {
    stop();
    PrepareOptions smaller = options;
    smaller.encoded.resize = 16;
    CHECK(many.done(smaller) == 0);
  }
  SECTION("a picture that has changed since") {
    stop();
    write_tree(many.folder / "in", {{"train/n01/h.JPEG", jpeg_of(9, 9)}});  // the fourth
    CHECK(many.done(options) == 3);
    CHECK(EncodedImages::open(many.folder / "out").height(3) == 9);
    CHECK_NOTHROW(EncodedImages::open(many.folder / "out").verify());
  }
  SECTION("a shard that is gone") {
    stop();
    fs::remove(many.folder / "out.partial/shard-00001.bin");
    CHECK(many.done(options) < 6);
    CHECK(folder_bytes(many.folder / "out") == many.whole);
  }
  SECTION("pictures that were left out, and are not to be now") {
    write_tree(many.folder / "in", {{"train/n01/d.JPEG", "torn"}});  // the second
    PrepareOptions skipping = options;
    skipping.skip_bad_images = true;
    imagenet_error(ExitCode::interrupted, stopped_after(skipping, 8));
    CHECK_THAT(imagenet_error(ExitCode::data, options), Catch::Contains("d.JPEG"));
    CHECK(many.done(skipping) == 1);
  }
}

TEST_CASE("imagenet: a damaged picture is named, or left out and counted") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  const std::string torn = jpeg_of(200, 200).substr(0, 900);
  write_tree(folder / "in", {{"train/n01/b.JPEG", torn}, {"val/n02/w.JPEG", ""}});
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  CHECK_THAT(imagenet_error(ExitCode::data, options),
             Catch::Contains("train/n01/b.JPEG' is no sound JPEG") &&
                 Catch::Contains("--on-bad-image skip"));
  CHECK_FALSE(fs::exists(folder / "out"));
  options.skip_bad_images = true;
  std::string told;
  options.note = [&](const std::string& text) { told += text + "\n"; };
  const EncodedImagesInfo info = prepare_encoded_images(options);
  CHECK(info.skipped == 2);
  CHECK(info.splits == std::array<TokenRange, 3>{{{0, 4}, {4, 5}, {5, 5}}});
  CHECK(listing(folder / "out")[1] == "train/n01/c.jpg 0");
  CHECK_THAT(told, Catch::Contains("going on behind 1 of 7") && Catch::Contains("b.JPEG") &&
                       Catch::Contains("w.JPEG") && Catch::Contains("left out 2 pictures in all"));
}

TEST_CASE("imagenet: files stay as they are, whatever they are called") {
  const TempDir folder;
  Members files;
  for (const char* name :
       {"cmyk.jpg", "transparent_png.JPEG", "gray.jpg", "gray.png", "turned.jpg"}) {
    files.emplace_back(std::string("train/n01/") + name, read_bytes(kPictureFolder + name));
  }
  write_tree(folder / "in", files);
  prepare_encoded_images(imagenet({folder / "in"}, folder / "out"));
  const EncodedImages images = EncodedImages::open(folder / "out");
  REQUIRE(images.info().images() == std::ssize(files));
  for (int64_t i = 0; i < images.info().images(); ++i) {
    const std::span<const uint8_t> file = images.file(i);
    const std::string name = images.name_of(i);
    INFO(name);
    CHECK(std::string(file.begin(), file.end()) ==
          read_bytes(kPictureFolder + fs::path(name).filename().string()));
    const Picture picture = decode_picture(file, name);
    CHECK(picture.width == images.width(i));
    CHECK(picture.height == images.height(i));
  }
}

TEST_CASE("imagenet: smaller copies have the wanted size and say so") {
  const TempDir folder;
  const Picture large = formula_picture(96, 131);
  const std::string small = jpeg_of(40, 300);
  write_tree(folder / "in", {{"train/n01/large.png", text_of(encode_png(large))},
                             {"train/n01/small.JPEG", small},
                             {"train/n01/inks.JPEG", read_bytes(kPictureFolder + "cmyk.jpg")}});
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  options.encoded.resize = 40;
  options.encoded.quality = 95;
  const EncodedImagesInfo info = prepare_encoded_images(options);
  CHECK(info.split_description() == "custom split, resized to 40 pixels");
  CHECK(info.quality == 95);
  const EncodedImages images = EncodedImages::open(folder / "out");
  CHECK(std::min(images.width(0), images.height(0)) == 40);  // inks
  CHECK(images.height(1) == 40);
  CHECK(images.width(1) == 40 * 131 / 96);
  const std::vector<uint8_t> expected =
      encode_jpeg(resize(large, 40, 40 * 131 / 96, Interpolation::bicubic), 95);
  const std::span<const uint8_t> stored = images.file(1);
  CHECK(std::vector<uint8_t>(stored.begin(), stored.end()) == expected);
  const std::span<const uint8_t> kept = images.file(2);
  CHECK(std::string(kept.begin(), kept.end()) == small);
}

TEST_CASE("a JPEG is read back as it was written, but for its losses") {
  Picture picture{24, 37, {}};
  for (int64_t y = 0; y < picture.height; ++y) {
    for (int64_t x = 0; x < picture.width; ++x) {
      for (const int64_t value : {4 * x, 5 * y + 60, 2 * (x + y)}) {
        picture.pixels.push_back(static_cast<uint8_t>(value));
      }
    }
  }
  const Picture read = decode_picture(encode_jpeg(picture, 100), "p.jpg");
  REQUIRE(read.height == 24);
  REQUIRE(read.width == 37);
  int largest = 0;
  for (size_t i = 0; i < read.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(read.pixels[i] - picture.pixels[i]));
  }
  CHECK(largest <= 6);
  CHECK(encode_jpeg(picture, 30).size() < encode_jpeg(picture, 100).size());
  CHECK_THROWS_AS(encode_jpeg({2, 2, {1, 2, 3}}, 90), ShapeError);
}

TEST_CASE("imagenet: a damaged folder is refused with shard, offset and name") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  const PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  prepare_encoded_images(options);
  const auto damage = [&](const std::string& file,
                          const std::function<void(std::string&)>& change) {
    std::string bytes = read_bytes(folder / ("out/" + file));
    change(bytes);
    write_bytes(folder / ("out/" + file), bytes);
  };
  const auto open_error = [&] {
    return error_of(ExitCode::data, [&] { EncodedImages::open(folder / "out"); });
  };
  SECTION("a byte of a picture") {
    damage("shard-00000.bin", [&](std::string& bytes) { bytes[jpeg_of(21, 30).size() + 50] ^= 1; });
    const EncodedImages images = EncodedImages::open(folder / "out");
    CHECK_NOTHROW(images.file(0));
    const std::string error = error_of(ExitCode::data, [&] { images.file(1); });
    CHECK_THAT(error, Catch::Contains("shard-00000.bin' is damaged") &&
                          Catch::Contains("at " + std::to_string(jpeg_of(21, 30).size()) + ",") &&
                          Catch::Contains("train/n01/b.JPEG"));
    CHECK_THROWS_AS(images.verify(), DataError);
  }
  SECTION("a shard that has shrunk while in use") {
    const EncodedImages images = EncodedImages::open(folder / "out");
    fs::resize_file(folder / "out/shard-00000.bin", 100);
    CHECK_THAT(error_of(ExitCode::data, [&] { images.file(3); }), Catch::Contains("has shrunk"));
    CHECK_THAT(open_error(), Catch::Contains("image 0"));
  }
  SECTION("a name") {
    damage("names.bin", [](std::string& bytes) { bytes[0] ^= 1; });
    CHECK_THROWS_AS(EncodedImages::open(folder / "out").verify(), DataError);
    damage("names.bin", [](std::string& bytes) { bytes.pop_back(); });
    CHECK_THAT(open_error(), Catch::Contains("7 names"));
  }
  SECTION("a label") {
    damage("index.bin", [](std::string& bytes) { bytes[24 + 16] = 9; });
    CHECK_THAT(open_error(), Catch::Contains("image 1 has label 9 of 2"));
  }
  SECTION("a short index") {
    damage("index.bin", [](std::string& bytes) { bytes.resize(100); });
    CHECK_THAT(open_error(), Catch::Contains("100 bytes, but 168"));
  }
  SECTION("what is damaged can be made anew") {
    damage("index.bin", [](std::string& bytes) { bytes.resize(100); });
    CHECK_NOTHROW(prepare_encoded_images(options));
    CHECK_NOTHROW(EncodedImages::open(folder / "out").verify());
  }
  CHECK_THROWS_AS(EncodedImages::open(folder / "in"), DataError);
}

TEST_CASE("imagenet: options that make no sense are refused") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  options.encoded.quality = 80;
  CHECK_THAT(imagenet_error(ExitCode::usage, options), Catch::Contains("give --resize"));
  options.encoded.resize = 32;
  options.encoded.quality = 101;
  CHECK_THAT(imagenet_error(ExitCode::usage, options), Catch::Contains("--quality 101"));
  options.encoded = EncodedImageOptions();
  options.encoded.workers = 100'000;
  CHECK_THAT(imagenet_error(ExitCode::usage, options), Catch::Contains("--workers 100000"));
  PrepareOptions bytes = options_for("bytes", {folder / "in/train/n01/a.JPEG"}, folder / "out");
  bytes.encoded.resize = 32;
  CHECK_THAT(prepare_error(ExitCode::usage, bytes), Catch::Contains("for `imagenet`"));
}

TEST_CASE("the samples of ImageNet prepare to their known checksums") {
  const char* root = std::getenv("SSA_DATA_DIR");
  const std::string data = std::string(root ? root : "") + "/";
  if (!fs::exists(data + "imagenette224_subset.tar")) {
    SSA_SKIP("SSA_DATA_DIR holds no imagenette224_subset.tar");
  }
  const TempDir folder;
  const EncodedImagesInfo ten =
      prepare_encoded_images(imagenet({data + "imagenette224_subset.tar"}, folder / "ten"));
  CHECK(ten.classes.size() == 10);
  CHECK(ten.split_size(Split::train) == 2300);
  CHECK(ten.split_size(Split::valid) == 500);
  CHECK(ten.checksum == "adf4163664247578");
  PrepareOptions sample = imagenet({data + "imagenet_fullres_sample.tar"}, folder / "sample");
  sample.encoded.split = Split::valid;
  const EncodedImagesInfo large = prepare_encoded_images(sample);
  CHECK(large.images() == 86);
  CHECK(large.bytes == 9'714'767);
  CHECK_NOTHROW(EncodedImages::open(folder / "sample").verify());
}

TEST_CASE("the official split of ImageNet is recognised by its counts") {
  EncodedImagesInfo info;
  info.classes.resize(1000);
  info.splits = {{{0, 1'281'167}, {1'281'167, 1'331'167}, {1'331'167, 1'331'167}}};
  CHECK(info.split_description() == "official ImageNet-1k split");
  info.resize = 256;
  CHECK(info.split_description() == "official ImageNet-1k split, resized to 256 pixels");
  info.resize = 0;
  info.splits[0].end = info.splits[1].begin = 1'281'166;
  CHECK(info.split_description() == "custom split");
}
