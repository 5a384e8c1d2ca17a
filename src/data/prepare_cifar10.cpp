#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "cifar_pickle.h"
#include "image_writer.h"
#include "input_stream.h"
#include "list_folder.h"
#include "prepare_images.h"
#include "prepare_inputs.h"
#include "prepare_report.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kSide = 32;
constexpr size_t kPlane = kSide * kSide;
constexpr size_t kPixelBytes = 3 * kPlane;
constexpr size_t kRowBytes = 1 + kPixelBytes;
/// Several times the published data set: a small packed file may unpack to any size.
constexpr size_t kMostFileBytes = size_t{1} << 30;
constexpr std::array<std::string_view, 10> kClasses = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
// The published data set: 50,000 and 10,000 rows whose labels, a byte each, have these XXH3-64.
constexpr int64_t kOfficialTrain = 50'000, kOfficialTest = 10'000;
constexpr std::string_view kOfficialTrainLabels = "c55dd27858e31169";
constexpr std::string_view kOfficialTestLabels = "aeec19c90d851b39";

/// Rows of one file or member of an archive.
struct RowFile {
  std::string label;  ///< for messages
  std::vector<uint8_t> bytes;
};

/// Files of rows by their names: data_batch_1.bin … test_batch.bin.
using RowFiles = std::map<std::string, RowFile>;

bool is_test(const std::string& name) { return name.find("test") != std::string::npos; }

/// Files of the binary version end in .bin, those of the Python version have no ending.
bool is_batch(const std::string& name) {
  const fs::path path(name);
  if (path.has_extension() && path.extension() != ".bin") return false;
  return path.stem() == "test_batch" || path.stem().string().starts_with("data_batch_");
}

class RowReader {
 public:
  explicit RowReader(const PrepareOptions& options)
      : report_(options, total_bytes(options.inputs)) {}

  RowFiles read(const std::vector<std::string>& inputs) {
    for (const std::string& input : inputs) {
      std::error_code error;
      if (fs::is_directory(input, error)) {
        read_folder(input);
      } else {
        read_file(input, /*any_name=*/true);
      }
    }
    return std::move(files_);
  }

 private:
  static int64_t total_bytes(const std::vector<std::string>& inputs) {
    int64_t total = 0;
    std::error_code error;
    for (const std::string& input : inputs) {
      if (!fs::is_directory(input, error)) total += file_size(input);
    }
    return total;
  }

  void read_folder(const std::string& folder) {
    refuse_prepared(folder);
    std::error_code error;
    bool found = false;
    for (const fs::path& entry : list_folder(folder, error)) {
      const std::string name = entry.filename().string();
      if (!is_batch(name)) continue;
      read_file(entry.string(), /*any_name=*/false);
      found = true;
    }
    if (error) throw DataError("cannot list '{}': {}", folder, error.message());
    if (!found) {
      throw DataError("'{}' holds neither data_batch_N nor test_batch, with or without .bin",
                      folder);
    }
  }

  void read_file(const std::string& path, bool any_name) {
    InputStream stream(path);
    bool found = false;
    while (stream.next_member()) {
      std::string name = fs::path(stream.member()).filename().string();
      if (stream.is_archive() && !is_batch(name)) continue;
      found = true;
      const std::string label =
          stream.is_archive() ? fmt::format("{} ({})", path, stream.member()) : path;
      RowFile file{label, read_member(stream)};
      if (is_cifar_pickle(file.bytes)) {
        file.bytes = rows_of_cifar_pickle(file.bytes, label);
        name += ".bin";  // the same rows in the binary version would come twice
      }
      const bool added = files_.emplace(name, std::move(file)).second;
      if (!added) throw DataError("'{}' comes twice: the second time as '{}'", name, label);
    }
    read_before_ += stream.consumed();
    if (!found && any_name) {
      throw DataError(
          "archive '{}' holds neither data_batch_N nor test_batch, with or without .bin", path);
    }
  }

  std::vector<uint8_t> read_member(InputStream& stream) {
    std::vector<uint8_t> bytes, piece(size_t{1} << 16);
    while (const size_t got = stream.read(piece)) {
      bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
      if (bytes.size() > kMostFileBytes) {
        throw DataError("'{}' has more than {} bytes: it is no file of CIFAR-10", stream.member(),
                        kMostFileBytes);
      }
      report_.at(read_before_ + stream.consumed(), 0);
    }
    return bytes;
  }

  PrepareReport report_;
  RowFiles files_;
  int64_t read_before_ = 0;
};

void check_rows(const RowFile& file) {
  const auto size = static_cast<int64_t>(file.bytes.size());
  constexpr auto kRow = static_cast<int64_t>(kRowBytes);
  if (size == 0 || size % kRow != 0) {
    throw DataError(
        "'{}' has {} bytes, which are no whole rows of {} (a label and 32 x 32 x 3 pixels); the "
        "nearest are {} ({} rows). Is it complete, and CIFAR-10's binary version?",
        file.label, size, kRow, std::max<int64_t>(1, (size + kRow / 2) / kRow) * kRow,
        std::max<int64_t>(1, (size + kRow / 2) / kRow));
  }
  for (size_t row = 0; row * kRowBytes < file.bytes.size(); ++row) {
    const uint8_t label = file.bytes[row * kRowBytes];
    if (label < kClasses.size()) continue;
    throw DataError("'{}': row {}, byte {}, is label {}, but there are {} classes (0 to {})",
                    file.label, row, row * kRowBytes, label, kClasses.size(), kClasses.size() - 1);
  }
}

/// Planes of red, green and blue → (height, width, channel).
void interleave(std::span<const uint8_t> planes, std::span<uint8_t> pixels) {
  for (size_t i = 0; i < kPlane; ++i) {
    for (size_t c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c * kPlane + i];
  }
}

void add_rows(const RowFile& file, ImageWriter& images) {
  std::array<uint8_t, kPixelBytes> pixels;
  for (size_t at = 0; at < file.bytes.size(); at += kRowBytes) {
    interleave(std::span(file.bytes).subspan(at + 1, kPixelBytes), pixels);
    images.add(pixels, file.bytes[at]);
  }
}

bool are_official(const std::vector<int32_t>& labels, int64_t train) {
  if (train != kOfficialTrain || std::ssize(labels) != kOfficialTrain + kOfficialTest) return false;
  const std::vector<uint8_t> bytes(labels.begin(), labels.end());
  const auto checksum = [](std::span<const uint8_t> part) {
    ByteTally tally;
    tally.add(part);
    return tally.checksum();
  };
  const std::span<const uint8_t> all(bytes);
  return checksum(all.first(kOfficialTrain)) == kOfficialTrainLabels &&
         checksum(all.last(kOfficialTest)) == kOfficialTestLabels;
}

}  // namespace

ImageDatasetInfo prepare_cifar10(const PrepareOptions& options, FolderWriter& writer) {
  RowFiles files = RowReader(options).read(options.inputs);
  ImageDatasetInfo info;
  info.height = info.width = kSide;
  info.classes.assign(kClasses.begin(), kClasses.end());
  ImageWriter images(writer);
  for (const bool test : {false, true}) {
    for (const auto& [name, file] : files) {
      if (is_test(name) != test) continue;
      check_rows(file);
      add_rows(file, images);
      info.sources.push_back(name);
    }
    info.splits[static_cast<size_t>(test ? Split::test : Split::valid)] = {images.images(),
                                                                           images.images()};
    if (!test) info.splits[static_cast<size_t>(Split::train)] = {0, images.images()};
  }
  TokenRange& test = info.splits[static_cast<size_t>(Split::test)];
  test.begin = info.splits[static_cast<size_t>(Split::valid)].end;
  info.official = are_official(images.labels(), info.split_size(Split::train));
  info.checksum = images.finish();
  return info;
}

}  // namespace ssa
