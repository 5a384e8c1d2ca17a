#include "ssa/data/encoded_images.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "ssa/core/error.h"
#include "ssa/data/mapped_file.h"

#include "dataset_files.h"
#include "dataset_json.h"
#include "encoded_image_files.h"
#include "find_data.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

/// ImageNet-1k, as published for ILSVRC 2012.
constexpr int64_t kImagenetTrain = 1'281'167, kImagenetValid = 50'000, kImagenetClasses = 1000;

/// The name of a split's folder, as ImageNet has it.
std::string_view folder_name(Split split) { return split == Split::valid ? "val" : name(split); }

[[noreturn]] void throw_damaged(const fs::path& file, const std::string& problem) {
  throw DataError("'{}' is damaged: {}. Prepare the data set again.", file.string(), problem);
}

std::vector<IndexEntry> read_index(const fs::path& path, const EncodedImagesInfo& info) {
  const int64_t bytes = info.images() * static_cast<int64_t>(sizeof(IndexEntry));
  check_file(path, bytes);
  std::vector<IndexEntry> index(static_cast<size_t>(info.images()));
  MappedFile(path.string())
      .read(0, {reinterpret_cast<uint8_t*>(index.data()), static_cast<size_t>(bytes)});
  return index;
}

/// The shards that the index speaks of.
std::vector<std::unique_ptr<const MappedFile>> map_shards(const fs::path& folder,
                                                          std::span<const IndexEntry> index) {
  int64_t shards = 0;
  for (const IndexEntry& entry : index) shards = std::max<int64_t>(shards, entry.shard + 1);
  std::vector<std::unique_ptr<const MappedFile>> mapped;
  for (int64_t shard = 0; shard < shards; ++shard) {
    mapped.push_back(std::make_unique<const MappedFile>((folder / shard_name(shard)).string()));
  }
  return mapped;
}

/// Where each name begins, and behind them the end of the last.
std::vector<uint64_t> name_starts(const std::string& names, int64_t images, const fs::path& path) {
  std::vector<uint64_t> starts = {0};
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == '\0') starts.push_back(i + 1);
  }
  if (std::ssize(starts) != images + 1 || starts.back() != names.size()) {
    throw_damaged(path, fmt::format("it does not hold {} names", images));
  }
  return starts;
}

}  // namespace

std::string EncodedImagesInfo::split_description() const {
  const bool official = split_size(Split::train) == kImagenetTrain &&
                        split_size(Split::valid) == kImagenetValid &&
                        std::ssize(classes) == kImagenetClasses;
  const std::string text = official ? "official ImageNet-1k split" : "custom split";
  return resize ? fmt::format("{}, resized to {} pixels", text, resize) : text;
}

std::string dataset_to_json(const EncodedImagesInfo& info) {
  Json root = dataset_head(info.name, kEncodedImages, info.sources);
  root["images"] = info.images();
  root["bytes"] = info.bytes;
  root["classes"] = info.classes;
  root["resize"] = info.resize;
  root["quality"] = info.quality;
  root["skipped"] = info.skipped;
  root["ignored"] = info.ignored;
  root["splits"] = splits_to_json(info.splits);
  root["xxh3_64"] = info.checksum;
  return to_text(root);
}

EncodedImagesInfo encoded_images_from_json(std::string_view json, const std::string& path) {
  const DatasetReader reader = read_dataset_json(json, path);
  if (reader.text("kind") != kEncodedImages) {
    reader.fail("kind", fmt::format("\"{}\"", kEncodedImages));
  }
  EncodedImagesInfo info;
  info.name = reader.text("name");
  info.sources = reader.texts("sources");
  info.bytes = reader.integer("bytes");
  info.classes = reader.texts("classes");
  info.resize = reader.integer("resize");
  info.quality = reader.integer("quality");
  info.skipped = reader.integer("skipped");
  info.ignored = reader.integer("ignored");
  info.splits = read_splits(reader, reader.integer("images"), "images", /*may_be_empty=*/true);
  if (info.images() == 0) reader.fail("images", "at least 1");
  if (info.images() > kMostItems / static_cast<int64_t>(sizeof(IndexEntry))) {
    reader.fail("images", "fewer");
  }
  info.checksum = reader.text("xxh3_64");
  return info;
}

bool holds_encoded_images(const std::string& path) {
  return kind_of_prepared(find_data(path)) == kEncodedImages;
}

struct EncodedImages::Contents {
  std::string folder;
  EncodedImagesInfo info;
  std::vector<IndexEntry> index;
  std::string names;
  std::vector<uint64_t> starts;  // of the names
  std::vector<std::unique_ptr<const MappedFile>> shards;

  const IndexEntry& entry(int64_t image) const {
    SSA_CHECK(image >= 0 && image < info.images(), "image {} of the {} in '{}'", image,
              info.images(), folder);
    return index[static_cast<size_t>(image)];
  }

  /// Throws DataError unless every entry of the index lies in its shard and has a known class.
  void check_index() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      const IndexEntry& entry = index[i];
      const MappedFile& shard = *shards[entry.shard];
      const auto shard_bytes = static_cast<uint64_t>(shard.size());
      if (entry.label < info.classes.size() && entry.width > 0 && entry.height > 0 &&
          entry.size > 0 && entry.size <= shard_bytes && entry.offset <= shard_bytes - entry.size) {
        bytes += entry.size;
        continue;
      }
      throw_damaged(fs::path(folder) / kIndexFile,
                    fmt::format("image {} has label {} of {} classes, and bytes {} to {} of the {} "
                                "in '{}'",
                                i, entry.label, info.classes.size(), entry.offset, entry.end(),
                                shard_bytes, shard.path()));
    }
    if (bytes == info.bytes) return;
    throw_damaged(fs::path(folder) / kIndexFile,
                  fmt::format("its images have {} bytes, {} are expected", bytes, info.bytes));
  }
};

EncodedImages::EncodedImages(std::shared_ptr<const Contents> contents)
    : contents_(std::move(contents)) {}

EncodedImages EncodedImages::open(const std::string& path) {
  const fs::path folder = find_data(path);
  const fs::path description = folder / kDatasetFile;
  if (!is_there(description)) {
    throw DataError(
        "'{}' is no prepared data set of encoded images: it has no {}. Make one with `ssa-data "
        "prepare imagenet`.",
        folder.string(), kDatasetFile);
  }
  auto contents = std::make_shared<Contents>();
  contents->folder = folder.string();
  contents->info = encoded_images_from_json(read_text(description), description.string());
  contents->index = read_index(folder / kIndexFile, contents->info);
  contents->shards = map_shards(folder, contents->index);
  contents->check_index();
  contents->names = read_text(folder / kNameFile);
  contents->starts = name_starts(contents->names, contents->info.images(), folder / kNameFile);
  return EncodedImages(std::move(contents));
}

const EncodedImagesInfo& EncodedImages::info() const { return contents_->info; }
const std::string& EncodedImages::path() const { return contents_->folder; }
int64_t EncodedImages::label(int64_t image) const { return contents_->entry(image).label; }
int64_t EncodedImages::width(int64_t image) const { return contents_->entry(image).width; }
int64_t EncodedImages::height(int64_t image) const { return contents_->entry(image).height; }

std::span<const uint8_t> EncodedImages::file(int64_t image) const {
  const IndexEntry& entry = contents_->entry(image);
  const MappedFile& shard = *contents_->shards[entry.shard];
  shard.check_size();  // a read past the end of a file that has shrunk would be a signal
  const std::span<const uint8_t> bytes = shard.bytes().subspan(entry.offset, entry.size);
  if (const uint32_t actual = crc32_of(bytes); actual != entry.crc32) {
    throw DataError(
        "'{}' is damaged: the {} bytes at {}, the file {}, have the CRC-32 {:08x}, but {:08x} is "
        "expected. Prepare the data set again.",
        shard.path(), entry.size, entry.offset, name_of(image), actual, entry.crc32);
  }
  return bytes;
}

std::string EncodedImages::name_of(int64_t image) const {
  const IndexEntry& entry = contents_->entry(image);
  const auto split = std::ranges::find_if(contents_->info.splits, [&](const TokenRange& range) {
    return image >= range.begin && image < range.end;
  });
  const auto number = static_cast<size_t>(split - contents_->info.splits.begin());
  const uint64_t* start = &contents_->starts[static_cast<size_t>(image)];
  return fmt::format("{}/{}/{}", folder_name(kSplits.at(number)),
                     contents_->info.classes[entry.label],
                     printable({contents_->names.data() + start[0], start[1] - start[0] - 1}));
}

void EncodedImages::verify() const {
  for (int64_t image = 0; image < info().images(); ++image) file(image);
  const std::string actual = index_checksum(contents_->index, contents_->names);
  if (actual == info().checksum) return;
  throw DataError(
      "'{}' is damaged: the XXH3-64 checksum of {} and {} is {}, but {} is expected. Prepare the "
      "data set again.",
      path(), kIndexFile, kNameFile, actual, info().checksum);
}

}  // namespace ssa
