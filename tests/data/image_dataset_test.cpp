#include "ssa/data/image_dataset.h"

#include <filesystem>

#include "ssa/data/picture.h"
#include "ssa/data/prepare.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

constexpr size_t kRowBytes = 3073;

/// Row number `number` of CIFAR-10's binary version: its label, then the planes.
std::string row(int label, int number) {
  std::string text(1, static_cast<char>(label));
  for (int plane = 0; plane < 3; ++plane) {
    for (int i = 0; i < 1024; ++i) text += static_cast<char>(i + 7 * plane + 31 * number);
  }
  return text;
}

PrepareOptions cifar(const std::vector<std::string>& inputs, const std::string& output) {
  PrepareOptions options;
  options.name = "cifar10";
  options.inputs = inputs;
  options.output = output;
  return options;
}

PrepareOptions tree(const std::string& input, const std::string& output) {
  PrepareOptions options = cifar({input}, output);
  options.name = "images";
  return options;
}

std::string cifar_error(const std::string& file, const std::string& rows) {
  TempDir folder;
  const std::string path = folder / file;
  write_bytes(path, rows);
  return error_of(ExitCode::data, [&] { prepare_images(cifar({path}, folder / "out")); });
}

void write_picture(const std::string& path, int64_t height, int64_t width, uint8_t value) {
  fs::create_directories(fs::path(path).parent_path());
  const std::vector<uint8_t> png = encode_png(
      {height, width, std::vector<uint8_t>(static_cast<size_t>(height * width * 3), value)});
  write_bytes(path, std::string(png.begin(), png.end()));
}

}  // namespace

TEST_CASE("the binary version of CIFAR-10 becomes pixels by row, column and channel") {
  TempDir folder;
  const std::string input = folder / "cifar";
  fs::create_directories(input);
  write_bytes(input + "/data_batch_2.bin", row(9, 2));
  write_bytes(input + "/data_batch_1.bin", row(3, 0) + row(4, 1));
  write_bytes(input + "/test_batch.bin", row(5, 3));
  write_bytes(input + "/readme.html", "not a batch");
  const ImageDatasetInfo made = prepare_images(cifar({input}, folder / "out"));
  CHECK(made.images() == 4);
  CHECK_FALSE(made.official);

  const ImageDataset dataset = ImageDataset::open(folder / "out");
  CHECK(dataset.info().split_size(Split::train) == 3);
  CHECK(dataset.info().split_size(Split::valid) == 0);
  CHECK(dataset.info().split_size(Split::test) == 1);
  CHECK(dataset.info().classes.at(9) == "truck");
  const std::vector<int32_t> labels = {3, 4, 9, 5};
  std::vector<uint8_t> pixels(3072);
  for (int64_t image = 0; image < 4; ++image) {
    CHECK(dataset.label(image) == labels[static_cast<size_t>(image)]);
    dataset.read(image, pixels);
    for (const int64_t cell : {0, 33, 1023}) {
      for (int64_t channel = 0; channel < 3; ++channel) {
        CHECK(pixels[static_cast<size_t>(3 * cell + channel)] ==
              static_cast<uint8_t>(cell + 7 * channel + 31 * image));
      }
    }
  }
  CHECK_NOTHROW(dataset.verify());
  CHECK(holds_images(folder / "out"));
}

TEST_CASE("rows that are not CIFAR-10's are refused by size, row and byte") {
  CHECK_THAT(cifar_error("data_batch_1.bin", std::string(2 * kRowBytes - 100, '\0')),
             Catch::Contains("has 6046 bytes") && Catch::Contains("6146 (2 rows)"));
  CHECK_THAT(cifar_error("data_batch_1.bin", row(3, 0) + row(12, 1)),
             Catch::Contains("row 1, byte 3073, is label 12"));
  CHECK_THAT(cifar_error("data_batch_1.bin", ""), Catch::Contains("data_batch_1.bin"));
  CHECK_THAT(cifar_error("test_batch.bin", row(1, 1)), Catch::Contains("train split"));
}

TEST_CASE("a damaged folder of pictures is found") {
  TempDir folder;
  write_bytes(folder / "a.bin", row(3, 0) + row(4, 1));
  prepare_images(cifar({folder / "a.bin"}, folder / "out"));
  std::string pixels = read_bytes(folder / "out/pixels.bin");
  pixels[100] ^= 1;
  write_bytes(folder / "out/pixels.bin", pixels);
  CHECK_THAT(error_of(ExitCode::data, [&] { ImageDataset::open(folder / "out").verify(); }),
             Catch::Contains("damaged"));
  write_bytes(folder / "out/pixels.bin", pixels.substr(1));
  CHECK_THAT(error_of(ExitCode::data, [&] { ImageDataset::open(folder / "out"); }),
             Catch::Contains("6143 bytes") && Catch::Contains("6144"));
}

TEST_CASE("a tree of pictures becomes splits and classes") {
  TempDir folder;
  const std::string root = folder / "pictures";
  write_picture(root + "/train/cat/1.png", 4, 6, 10);
  write_picture(root + "/train/cat/2.png", 4, 6, 20);
  write_picture(root + "/train/ant/9.png", 4, 6, 30);
  write_picture(root + "/val/dog/1.png", 4, 6, 40);
  const ImageDatasetInfo info = prepare_images(tree(root, folder / "out"));
  CHECK(info.classes == std::vector<std::string>{"ant", "cat", "dog"});
  CHECK(info.height == 4);
  CHECK(info.width == 6);
  const ImageDataset dataset = ImageDataset::open(folder / "out");
  CHECK(dataset.info().split_size(Split::valid) == 1);
  std::vector<uint8_t> pixels(72);
  dataset.read(0, pixels);
  CHECK(pixels.front() == 30);
  CHECK(dataset.label(0) == 0);
  CHECK(dataset.label(3) == 2);
}

TEST_CASE("pictures of two sizes, and files that are none, are named") {
  TempDir folder;
  const std::string root = folder / "pictures";
  write_picture(root + "/train/a/1.png", 4, 4, 1);
  write_picture(root + "/train/a/2.png", 4, 5, 1);
  const auto problem = [&](bool skip) {
    PrepareOptions options = tree(root, folder / "out");
    options.skip_bad_images = skip;
    return error_of(ExitCode::data, [&] { prepare_images(options); });
  };
  CHECK_THAT(problem(false),
             Catch::Contains("1.png' has 4 x 4") && Catch::Contains("2.png' has 5 x 4"));
  fs::remove(root + "/train/a/2.png");
  write_bytes(root + "/train/a/2.png", read_bytes(root + "/train/a/1.png").substr(0, 40));
  CHECK_THAT(problem(false), Catch::Contains("2.png") && Catch::Contains("--on-bad-image skip"));
  PrepareOptions options = tree(root, folder / "out");
  options.skip_bad_images = true;
  const ImageDatasetInfo info = prepare_images(options);
  CHECK(info.images() == 1);
  CHECK(info.skipped == 1);
}

TEST_CASE("a prepared data set of another name or other sources is replaced only if told to") {
  TempDir folder;
  const std::string out = folder / "out";
  write_picture(folder / "pets/train/cat/1.png", 2, 2, 10);
  write_picture(folder / "cars/train/red/1.png", 2, 2, 20);
  write_bytes(folder / "data_batch_1.bin", row(3, 0));
  write_bytes(folder / "data_batch_2.bin", row(4, 1));
  write_bytes(folder / "text", std::string(3'000, 'x'));
  const auto is_kept = [&](const auto& prepare, PrepareOptions options, const std::string& holds) {
    const std::string before = read_bytes(out + "/dataset.json");
    const std::string error = error_of(ExitCode::usage, [&] { prepare(options); });
    CHECK(contains(error, "holds another data set: " + holds));
    CHECK(contains(error, "--replace"));
    CHECK(read_bytes(out + "/dataset.json") == before);
    CHECK_FALSE(fs::exists(out + ".partial"));
    options.replace = true;
    prepare(options);
    CHECK(read_bytes(out + "/dataset.json") != before);
  };
  PrepareOptions bytes = tree(folder / "text", out);
  bytes.name = "bytes";

  prepare_images(tree(folder / "pets", out));
  CHECK_NOTHROW(prepare_images(tree(folder / "pets/", out)));  // the same once more
  is_kept(prepare_images, tree(folder / "cars", out), "'images', made of pets");
  is_kept(prepare_dataset, bytes, "'images', made of cars");
  is_kept(prepare_images, cifar({folder / "data_batch_1.bin"}, out), "'bytes', made of text");
  is_kept(prepare_images, cifar({folder / "data_batch_2.bin"}, out), "'cifar10', made of data_");
  is_kept(prepare_images, tree(folder / "pets", out), "'cifar10', made of data_batch_2.bin");
}

TEST_CASE("a prepared data set of another content is replaced only if told to") {
  const TempDir folder;
  const std::string out = folder / "out";
  fs::create_directories(folder / "a");
  fs::create_directories(folder / "b");
  write_bytes(folder / "a/book.txt", std::string(3'000, 'x'));
  write_bytes(folder / "b/book.txt", std::string(3'000, 'y'));
  PrepareOptions options = tree(folder / "a/book.txt", out);
  options.name = "bytes";
  prepare_dataset(options);
  CHECK_NOTHROW(prepare_dataset(options));
  const std::string before = read_bytes(out + "/dataset.json");
  const auto is_refused = [&](PrepareOptions other, const std::string& difference) {
    const std::string error = error_of(ExitCode::usage, [&] { prepare_dataset(other); });
    CHECK(contains(error, difference));
    CHECK(contains(error, "--replace"));
    CHECK(read_bytes(out + "/dataset.json") == before);
    CHECK_FALSE(fs::exists(out + ".partial"));
    other.replace = true;
    CHECK_NOTHROW(prepare_dataset(other));
    CHECK(read_bytes(out + "/dataset.json") != before);
    options.replace = true;
    prepare_dataset(options);
    options.replace = false;
  };
  PrepareOptions other_text = options, other_split = options;
  other_text.inputs = {folder / "b/book.txt"};
  is_refused(other_text, "its checksum is");
  other_split.texts.split = SplitShares::from_text("80/10/10");
  is_refused(other_split, "its splits have 2700/150/150, not 2400/300/300");
}

TEST_CASE("data that differs in its words or classes alone is another data set") {
  const TempDir folder;
  const auto is_refused = [](const auto& prepare, const auto& options, const char* difference) {
    const std::string error = error_of(ExitCode::usage, [&] { prepare(options); });
    CHECK(contains(error, difference));
  };
  write_bytes(folder / "a.txt", "one two one two\n");
  PrepareOptions words = tree(folder / "a.txt", folder / "words");
  words.name = "words";
  words.texts.split = SplitShares::from_text("none");
  prepare_dataset(words);
  write_bytes(folder / "a.txt", "six ten six ten\n");
  is_refused(prepare_dataset, words, "it has another vocabulary");

  write_picture(folder / "pets/train/cat/1.png", 2, 2, 10);
  prepare_images(tree(folder / "pets", folder / "pictures"));
  fs::rename(folder / "pets/train/cat", folder / "pets/train/dog");
  is_refused(prepare_images, tree(folder / "pets", folder / "pictures"), "it has other classes");
}

TEST_CASE("leaving bad pictures out is refused where there are no files of pictures") {
  TempDir folder;
  write_bytes(folder / "data_batch_1.bin", row(3, 0));
  PrepareOptions options = cifar({folder / "data_batch_1.bin"}, folder / "out");
  options.skip_bad_images = true;
  const std::string error = error_of(ExitCode::usage, [&] { prepare_images(options); });
  CHECK(contains(error, "--on-bad-image skip is for `images`"));
  CHECK_FALSE(fs::exists(folder / "out"));
}
