// Reads a dataset.json, and opens a prepared folder whose files follow it ("=== NAME"). The names
// of encoded images stand in lines of "=== names".

#include <algorithm>

#include "ssa/core/error.h"
#include "ssa/data/encoded_images.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/token_dataset.h"

#include "data/encoded_image_files.h"
#include "data/word_text.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

void check_round_trip(const DatasetInfo& info) {
  const std::string text = dataset_to_json(info);
  require(dataset_to_json(dataset_from_json(text, "copy")) == text, "texts survive a round trip");
  require(info.bytes() >= info.tokens, "the size does not overflow");
  info.split_description();
}

void check_round_trip(const ImageDatasetInfo& info) {
  const std::string text = dataset_to_json(info);
  require(dataset_to_json(image_dataset_from_json(text, "copy")) == text,
          "pictures survive a round trip");
  require(info.images() * info.image_bytes() >= info.images(), "the size does not overflow");
}

void check_round_trip(const EncodedImagesInfo& info) {
  const std::string text = dataset_to_json(info);
  require(dataset_to_json(encoded_images_from_json(text, "copy")) == text,
          "encoded images survive a round trip");
  info.split_description();
}

void read_tokens() {
  const TokenDataset tokens = TokenDataset::open(folder().path());
  for (const Split split : kSplits) {
    std::vector<int32_t> all(static_cast<size_t>(tokens.split_size(split)));
    tokens.read(split, 0, all);
  }
  verify(tokens);
}

void read_images() {
  const ImageDataset images = ImageDataset::open(folder().path());
  std::vector<uint8_t> pixels(static_cast<size_t>(images.info().image_bytes()));
  for (int64_t image = 0; image < images.info().images(); ++image) {
    images.read(image, pixels);
    require(images.label(image) < std::ssize(images.info().classes), "a label is of a class");
  }
  images.verify();
}

void read_encoded_images() {
  const EncodedImages images = EncodedImages::open(folder().path());
  for (int64_t image = 0; image < images.info().images(); ++image) {
    require(images.label(image) < std::ssize(images.info().classes), "a label is of a class");
    require(find_not_utf8(images.name_of(image)) == std::string::npos, "a name can be shown");
    accepted<DataError>([&] { require(!images.file(image).empty(), "a file has bytes"); });
  }
  images.verify();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), kDatasetFile);
  const std::string& json = parts.at(kDatasetFile);
  if (const auto info = parsed<DataError>([&] { return dataset_from_json(json, "input"); })) {
    check_round_trip(*info);
  }
  if (const auto info = parsed<DataError>([&] { return image_dataset_from_json(json, "input"); })) {
    check_round_trip(*info);
  }
  if (const auto info =
          parsed<DataError>([&] { return encoded_images_from_json(json, "input"); })) {
    check_round_trip(*info);
  }
  if (parts.size() == 1) return 0;
  if (const auto names = parts.find("names"); names != parts.end()) {
    std::ranges::replace(names->second, '\n', '\0');
    parts[kNameFile] = names->second;
  }
  write_parts(parts, folder().path(),
              {kDatasetFile, kDataFile, kTokenFile, kVocabularyFile, kIdFile, kPixelFile,
               kLabelFile, kIndexFile, kNameFile, "shard-00000.bin"});
  accepted<DataError>(read_tokens);
  accepted<DataError>(read_images);
  accepted<DataError>(read_encoded_images);
  return 0;
}
