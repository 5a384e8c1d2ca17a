#include "ssa/data/image_dataset.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ssa/core/error.h"

#include "byte_tally.h"
#include "dataset_files.h"
#include "dataset_json.h"
#include "find_data.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostPixels = 65536;  // a side; the file of one image stays below 2^34 bytes

std::span<const uint8_t> bytes_of(const std::vector<int32_t>& labels) {
  return {reinterpret_cast<const uint8_t*>(labels.data()), labels.size() * sizeof(int32_t)};
}

int64_t side(const DatasetReader& reader, const char* key) {
  const int64_t pixels = reader.integer(key);
  if (pixels < 1 || pixels > kMostPixels) reader.fail(key, "a number of pixels");
  return pixels;
}

std::vector<int32_t> read_labels(const fs::path& path, const ImageDatasetInfo& info) {
  const int64_t bytes = info.images() * static_cast<int64_t>(sizeof(int32_t));
  check_file(path, bytes);
  std::vector<int32_t> labels(static_cast<size_t>(info.images()));
  if (labels.empty()) return labels;
  MappedFile(path.string())
      .read(0, {reinterpret_cast<uint8_t*>(labels.data()), static_cast<size_t>(bytes)});
  const auto classes = static_cast<int32_t>(info.classes.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0 && labels[i] < classes) continue;
    throw DataError(
        "'{}' is damaged: label {} of image {} is outside its {} classes. Prepare the "
        "data set again.",
        path.string(), labels[i], i, classes);
  }
  return labels;
}

}  // namespace

std::string ImageDatasetInfo::split_description() const {
  return official ? "official CIFAR-10 split" : "custom split";
}

std::string dataset_to_json(const ImageDatasetInfo& info) {
  Json root = dataset_head(info.name, kImages, info.sources);
  root["images"] = info.images();
  root["height"] = info.height;
  root["width"] = info.width;
  root["classes"] = info.classes;
  root["skipped"] = info.skipped;
  root["splits"] = splits_to_json(info.splits);
  root["official_split"] = info.official;
  root["xxh3_64"] = info.checksum;
  return to_text(root);
}

ImageDatasetInfo image_dataset_from_json(std::string_view json, const std::string& path) {
  const DatasetReader reader = read_dataset_json(json, path);
  if (reader.text("kind") != kImages) reader.fail("kind", "\"images\"");
  ImageDatasetInfo info;
  info.name = reader.text("name");
  info.sources = reader.texts("sources");
  info.height = side(reader, "height");
  info.width = side(reader, "width");
  info.classes = reader.texts("classes");
  info.skipped = reader.integer("skipped");
  info.splits = read_splits(reader, reader.integer("images"), "images", /*may_be_empty=*/true);
  if (info.split_size(Split::train) == 0) reader.fail("splits.train", "not empty");
  if (info.images() > kMostItems / info.image_bytes()) reader.fail("images", "fewer");
  if (!reader.at("official_split").is_boolean()) reader.fail("official_split", "true or false");
  info.official = reader.at("official_split").get<bool>();
  info.checksum = reader.text("xxh3_64");
  return info;
}

bool holds_images(const std::string& path) { return kind_of_prepared(find_data(path)) == kImages; }

ImageDataset::ImageDataset(ImageDatasetInfo info, std::shared_ptr<const MappedFile> pixels,
                           std::vector<int32_t> labels)
    : info_(std::move(info)), pixels_(std::move(pixels)), labels_(std::move(labels)) {}

ImageDataset ImageDataset::open(const std::string& path) {
  const fs::path folder = find_data(path);
  const fs::path description = folder / kDatasetFile;
  std::error_code ignored;
  if (!fs::exists(description, ignored)) {
    throw DataError(
        "'{}' is no prepared data set of pictures: it has no {}. Make one with `ssa-data prepare "
        "cifar10` or `ssa-data prepare images`.",
        folder.string(), kDatasetFile);
  }
  ImageDatasetInfo info = image_dataset_from_json(read_text(description), description.string());
  const fs::path pixels = folder / kPixelFile;
  check_file(pixels, info.images() * info.image_bytes());
  std::vector<int32_t> labels = read_labels(folder / kLabelFile, info);
  return {std::move(info), std::make_shared<const MappedFile>(pixels.string()), std::move(labels)};
}

void ImageDataset::read(int64_t image, std::span<uint8_t> out) const {
  SSA_CHECK(image >= 0 && image < info_.images(), "image {} of the {} in '{}'", image,
            info_.images(), path());
  SSA_CHECK(static_cast<int64_t>(out.size()) == info_.image_bytes(),
            "an image of {} bytes is read into {}", info_.image_bytes(), out.size());
  pixels_->read(image * info_.image_bytes(), out);
}

void ImageDataset::verify() const {
  ByteTally tally;
  std::vector<uint8_t> image(static_cast<size_t>(info_.image_bytes()));
  for (int64_t i = 0; i < info_.images(); ++i) {
    read(i, image);
    tally.add(image);
  }
  tally.add(bytes_of(labels_));
  if (tally.checksum() == info_.checksum) return;
  throw DataError(
      "'{}' is damaged: the XXH3-64 checksum of pixels and labels is {}, but {} is expected. "
      "Prepare the data set again.",
      path(), tally.checksum(), info_.checksum);
}

}  // namespace ssa
