#include "prepare_encoded_images.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <xxhash.h>

#include "ssa/core/error.h"
#include "ssa/core/system_limits.h"
#include "ssa/data/picture.h"
#include "ssa/data/picture_geometry.h"
#include "ssa/data/read_ahead.h"

#include "encoded_image_files.h"
#include "encoded_image_writer.h"
#include "image_sources.h"
#include "prepare_report.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostWorkers = 1024;
constexpr int64_t kImagesPerWorker = 4;  // that are decoded and wait to be written
constexpr int64_t kNamedBadImages = 10;
constexpr int64_t kLargestFile = int64_t{1} << 30;  // that is read to see whether it is a picture

/// A picture's file as it is stored.
struct CheckedImage {
  std::vector<uint8_t> file;
  IndexEntry entry;     // without shard, offset and size
  std::string problem;  // why it cannot be used; empty if it can
};

int64_t quality_of(const EncodedImageOptions& options) {
  if (options.resize == 0) return 0;
  return options.quality ? options.quality : EncodedImageOptions::kDefaultQuality;
}

/// Makes the shorter side `shorter` pixels long if it is longer. False if the picture stays as it
/// is. The longer side is rounded down, as torchvision's Resize does.
bool shrink(Picture& picture, int64_t shorter) {
  const int64_t height = picture.height, width = picture.width;
  const int64_t side = std::min(height, width);
  if (shorter == 0 || side <= shorter) return false;
  picture =
      resize(picture, shorter * height / side, shorter * width / side, Interpolation::bicubic);
  return true;
}

/// Decodes a file, and resizes it if that is wanted. Throws DataError if it is damaged.
void check_image(CheckedImage& image, const EncodedImageOptions& options, const std::string& path) {
  Picture picture = decode_picture(image.file, path);
  if (shrink(picture, options.resize)) {
    image.file = encode_jpeg(picture, static_cast<int>(quality_of(options)));
  }
  if (std::max(picture.height, picture.width) > kLongestSide) {
    throw DataError("'{}' has {} x {} pixels; a side has at most {}", path, picture.width,
                    picture.height, kLongestSide);
  }
  image.entry.width = static_cast<uint16_t>(picture.width);
  image.entry.height = static_cast<uint16_t>(picture.height);
  image.entry.crc32 = crc32_of(image.file);
}

/// Tells a picture's place, file and treatment from others, so that a later call knows what it has
/// done.
uint64_t fingerprint(const ImageSource& source, const EncodedImageOptions& options) {
  const std::string text = fmt::format(
      "{} {} {} {} {} {} {} {} {}", name(source.split), source.label, source.offset, source.size,
      source.modified, options.resize, quality_of(options), options.shard_bytes, source.path);
  return XXH3_64bits(text.data(), text.size());
}

class EncodedImagePreparer {
 public:
  EncodedImagePreparer(const PrepareOptions& options, FolderWriter& writer)
      : options_(options),
        writer_(writer),
        images_(writer, options.encoded.shard_bytes),
        sources_(list_image_sources(options)),
        report_(options, input_bytes(), std::ssize(sources_.images)) {}

  EncodedImagesInfo prepare() {
    try {
      write_images();
    } catch (...) {
      images_.sync();  // so that a later call can go on
      throw;
    }
    return write_index();
  }

 private:
  int64_t input_bytes() const {
    int64_t bytes = 0;
    for (const ImageSource& image : sources_.images) bytes += image.size;
    return bytes;
  }

  CheckedImage make(int64_t number) const {
    const ImageSource& source = sources_.images[static_cast<size_t>(number)];
    CheckedImage image;
    image.entry.label = static_cast<uint16_t>(source.label);
    if (source.size > kLargestFile) {
      image.problem =
          fmt::format("'{}' is no picture: it has {} bytes", sources_.display(source), source.size);
      return image;
    }
    image.file = sources_.read(source);
    try {
      check_image(image, options_.encoded, sources_.display(source));
    } catch (const DataError& error) {
      image.problem = error.what();
    }
    return image;
  }

  void write_images() {
    std::vector<uint64_t> fingerprints;
    for (const ImageSource& source : sources_.images) {
      fingerprints.push_back(fingerprint(source, options_.encoded));
    }
    const int64_t all = std::ssize(fingerprints);
    const int64_t done = images_.resume(fingerprints, options_.skip_bad_images);
    if (done > 0) tell(fmt::format("going on behind {} of {} images", done, all));
    int64_t read = 0;
    for (int64_t i = 0; i < done; ++i) read += sources_.images[static_cast<size_t>(i)].size;
    report_.images(done);
    report_.at(read, images_.bytes());
    const int64_t workers = number_of_workers();
    ReadAhead<CheckedImage> checked([this](int64_t number) { return make(number); }, done, all,
                                    workers * kImagesPerWorker, workers);
    for (int64_t i = done; i < all; ++i) {
      add(checked.next(), fingerprints[static_cast<size_t>(i)]);
      read += sources_.images[static_cast<size_t>(i)].size;
      report_.images(i + 1);
      report_.at(read, images_.bytes());
    }
    images_.sync();
  }

  void add(const CheckedImage& image, uint64_t source) {
    if (image.problem.empty()) {
      images_.add(image.file, image.entry, source);
      return;
    }
    if (!options_.skip_bad_images) {
      throw DataError("{}. Mend or remove it, or leave such files out with --on-bad-image skip",
                      image.problem);
    }
    images_.skip(source);
    if (++named_ <= kNamedBadImages) tell(fmt::format("left out: {}", image.problem));
  }

  int64_t number_of_workers() const {
    return options_.encoded.workers > 0 ? options_.encoded.workers : usable_processors();
  }

  void tell(const std::string& text) const {
    if (options_.note) options_.note(text);
  }

  EncodedImagesInfo write_index() {
    EncodedImagesInfo info;
    std::vector<IndexEntry> index;
    std::string names;
    std::array<int64_t, 3> counts{};
    for (size_t i = 0; i < sources_.images.size(); ++i) {
      const ImageSource& source = sources_.images[i];
      const IndexEntry& entry = images_.records()[i].entry;
      if (entry.size == 0) {
        ++info.skipped;
        continue;
      }
      index.push_back(entry);
      names += source.file();
      names += '\0';
      ++counts[static_cast<size_t>(source.split)];
    }
    if (index.empty()) throw DataError("none of the {} pictures can be decoded", info.skipped);
    if (info.skipped) tell(fmt::format("left out {} pictures in all", info.skipped));
    for (int64_t k = 0, begin = 0; k < std::ssize(counts); begin = info.splits[k++].end) {
      info.splits[k] = {begin, begin + counts[k]};
    }
    info.classes = std::move(sources_.classes);
    info.sources = encoded_image_sources(options_);
    info.checksum = index_checksum(index, names);
    info.bytes = images_.bytes();
    info.resize = options_.encoded.resize;
    info.quality = quality_of(options_.encoded);
    info.ignored = sources_.ignored;
    write_files(index, names, info.classes);
    return info;
  }

  void write_files(const std::vector<IndexEntry>& index, const std::string& names,
                   const std::vector<std::string>& classes) {
    writer_.start_file(kIndexFile);
    writer_.write(
        {reinterpret_cast<const uint8_t*>(index.data()), index.size() * sizeof(IndexEntry)});
    writer_.start_file(kNameFile);
    writer_.write(names);
    writer_.start_file(kClassFile);
    for (const std::string& class_name : classes) writer_.write(class_name + "\n");
  }

  const PrepareOptions& options_;
  FolderWriter& writer_;
  EncodedImageWriter images_;
  ImageSources sources_;
  PrepareReport report_;
  int64_t named_ = 0;  // bad images so far
};

}  // namespace

void check_encoded_options(const PrepareOptions& options) {
  const EncodedImageOptions& given = options.encoded;
  if (options.name != "imagenet") {
    if (given.split) {
      throw ConfigError(
          "--split is for texts, `imagenet`, `pcqm4mv2` and `molecules`, not for `{}`",
          options.name);
    }
    if (!given.val_labels.empty() || !given.classes.empty() || given.resize || given.quality ||
        given.workers) {
      throw ConfigError(
          "--val-labels, --classes, --resize, --quality and --workers are for `imagenet`, not for "
          "`{}`",
          options.name);
    }
    return;
  }
  const auto check = [](bool holds, std::string_view option, int64_t value, std::string_view want) {
    if (!holds) throw ConfigError("{} {} should be {}", option, value, want);
  };
  check(given.resize >= 0 && given.resize <= kLongestSide, "--resize", given.resize,
        fmt::format("a number of pixels from 1 to {}, or 0 for files as they are", kLongestSide));
  check(given.quality >= 0 && given.quality <= 100, "--quality", given.quality, "1 to 100");
  check(given.workers >= 0 && given.workers <= kMostWorkers, "--workers", given.workers,
        fmt::format("a number of threads from 1 to {}, or 0 for one per processor", kMostWorkers));
  if (given.quality && !given.resize) {
    throw ConfigError(
        "--quality is that of pictures which are resized: give --resize as well, or leave it out");
  }
}

std::vector<std::string> encoded_image_sources(const PrepareOptions& options) {
  std::vector<std::string> names;
  for (const std::string& input : options.inputs) {
    // "imagenet/" and "." have names, too.
    std::error_code error;
    const fs::path path = fs::weakly_canonical(input, error);
    if (error) throw DataError("cannot find '{}': {}", input, error.message());
    names.push_back(printable(path.filename().string()));
  }
  return names;
}

EncodedImagesInfo write_encoded_images(const PrepareOptions& options, FolderWriter& writer) {
  return EncodedImagePreparer(options, writer).prepare();
}

}  // namespace ssa
