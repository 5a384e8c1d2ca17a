// Reads a dataset.json, and opens a prepared folder whose files follow it ("=== NAME").

#include "ssa/core/error.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/token_dataset.h"

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

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Parts parts = parts_of(text_of(data, size), kDatasetFile);
  const std::string& json = parts.at(kDatasetFile);
  if (const auto info = parsed<DataError>([&] { return dataset_from_json(json, "input"); })) {
    check_round_trip(*info);
  }
  if (const auto info = parsed<DataError>([&] { return image_dataset_from_json(json, "input"); })) {
    check_round_trip(*info);
  }
  if (parts.size() == 1) return 0;
  write_parts(parts, folder().path(),
              {kDatasetFile, kDataFile, kTokenFile, kVocabularyFile, kPixelFile, kLabelFile});
  accepted<DataError>(read_tokens);
  accepted<DataError>(read_images);
  return 0;
}
