// CIFAR-10's Python version: read without running anything, and refused if it is anything else.

#include <filesystem>

#include <catch2/catch.hpp>

#include "ssa/data/image_dataset.h"
#include "ssa/data/prepare.h"

#include "data/test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

// Three pictures, written by Python (scripts/make_cifar_pickle.py).
const std::string kBatch = SSA_SOURCE_DIR "/tests/fixtures/cifar10_python/data_batch_1";

PrepareOptions cifar(const std::string& input, const std::string& output) {
  PrepareOptions options;
  options.name = "cifar10";
  options.inputs = {input};
  options.output = output;
  return options;
}

std::string error_for(const std::string& bytes) {
  TempDir folder;
  write_bytes(folder / "data_batch_1", bytes);
  return error_of(ExitCode::data,
                  [&] { prepare_images(cifar(folder / "data_batch_1", folder / "out")); });
}

/// The batch with one part of its bytes, which it holds once, in another form.
std::string batch_with(const std::string& part, const std::string& changed) {
  std::string bytes = read_bytes(kBatch);
  const size_t at = bytes.find(part);
  REQUIRE(at != std::string::npos);
  return bytes.replace(at, part.size(), changed);
}

}  // namespace

TEST_CASE("the Python version of CIFAR-10 gives the pictures of the binary one") {
  TempDir folder;
  prepare_images(cifar(kBatch, folder / "out"));
  const ImageDataset dataset = ImageDataset::open(folder / "out");
  CHECK(dataset.info().sources == std::vector<std::string>{"data_batch_1.bin"});
  REQUIRE(dataset.info().split_size(Split::train) == 3);
  const std::vector<int32_t> labels = {6, 9, 0};
  std::vector<uint8_t> pixels(3072);
  for (int64_t image = 0; image < 3; ++image) {
    CHECK(dataset.label(image) == labels[static_cast<size_t>(image)]);
    dataset.read(image, pixels);
    for (int64_t i = 0; i < 3072; ++i) {
      REQUIRE(pixels[static_cast<size_t>(i)] ==
              static_cast<uint8_t>(i / 3 + 7 * (i % 3) + 31 * image));
    }
  }
}

TEST_CASE("a batch in both versions comes twice") {
  TempDir folder;
  std::filesystem::create_directories(folder / "both");
  std::filesystem::copy_file(kBatch, folder / "both/data_batch_1");
  write_bytes(folder / "both/data_batch_1.bin", std::string(3073, '\1'));
  CHECK_THAT(
      error_of(ExitCode::data, [&] { prepare_images(cifar(folder / "both", folder / "out")); }),
      Catch::Contains("'data_batch_1.bin' comes twice"));
}

TEST_CASE("a pickle that is none of CIFAR-10's is refused by the byte") {
  // A program that would run a command in a shell.
  CHECK_THAT(error_for("\x80\x02"
                       "cposix\nsystem\nU\x04"
                       "true\x85R."),
             Catch::Contains("byte 16: the name posix.system is none of those files'"));
  // What stands in a file does not reach the terminal as it is.
  CHECK_THAT(error_for("\x80\x02"
                       "cos\x1b[2J\n\xff" +
                       std::string(1000, 'x') + "\n."),
             Catch::Contains("the name os?[2J.?" + std::string(59, 'x') + "… is none"));
  CHECK_THAT(error_for(batch_with("U\x06labels", "U\x06lobels")),
             Catch::Contains("the dict has no 'labels'"));
  CHECK_THAT(error_for(batch_with("K\x06K\x09K", "K\x06NK")), Catch::Contains("label 1"));
  CHECK_THAT(error_for(batch_with("K\x06K\x09K", "K\x06K")),
             Catch::Contains("not of 2 labels x 3072 bytes"));
  CHECK_THAT(error_for(batch_with("K\x06K\x09K", "K\x06K\x0bK")),
             Catch::Contains("is label 11, but there are 10 classes"));
  CHECK_THAT(error_for(batch_with("U\x02u1", "U\x02i4")), Catch::Contains("no array of bytes"));
  CHECK_THAT(error_for(batch_with("cnumpy\ndtype\n", "cnumpy\nloads\n")),
             Catch::Contains("numpy.loads"));
  CHECK_THAT(error_for(batch_with("NNN", "NN\xfe")), Catch::Contains("instruction 0xfe"));
}

TEST_CASE("a batch of the Python version that is cut anywhere is refused") {
  const std::string whole = read_bytes(kBatch);
  for (size_t size = 3; size < whole.size(); size += size < 240 || size > 9430 ? 1 : 997) {
    CAPTURE(size);
    CHECK_THAT(error_for(whole.substr(0, size)), Catch::Contains("data_batch_1"));
  }
}
