#include "ssa/data/byte_dataset.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "byte_tally.h"
#include "find_data.h"
#include "input_stream.h"
#include "list_folder.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

std::string read_dataset_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  if (!stream.good() && !stream.eof()) throw DataError("cannot read '{}'", path.string());
  return text;
}

/// Whether there is such a file; throws if that cannot be told.
bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) throw DataError("cannot read '{}': {}", path.string(), error.message());
  return found;
}

/// Tells why a folder without dataset.json cannot be opened.
[[noreturn]] void throw_not_prepared(const fs::path& folder, const std::string& asked_for) {
  std::error_code ignored;
  for (const fs::path& entry : list_folder(folder, ignored)) {
    if (entry.filename().string().starts_with("enwik8")) {
      throw DataError("'{}' is not a prepared data set, but holds '{}'. Prepare it once:\n  {}",
                      folder.string(), entry.string(),
                      prepare_command(entry, asked_for + "-prepared"));
    }
  }
  throw DataError(
      "'{}' is a folder without {}, so no prepared data set. Make one with `ssa-data prepare`.",
      folder.string(), kDatasetFile);
}

}  // namespace

ByteDataset ByteDataset::open(const std::string& path) {
  const fs::path place = find_data(path);
  std::error_code error;
  if (!fs::is_directory(place, error)) {
    if (const auto format = packed_format(place.string())) {
      const fs::path output = place.parent_path() / (place.stem().string() + "-prepared");
      throw DataError("'{}' is a packed file ({}). Prepare it once and give the folder:\n  {}",
                      place.string(), *format, prepare_command(place, output));
    }
    auto file = std::make_shared<const MappedFile>(place.string());
    DatasetInfo info;
    info.name = place.filename().string();
    info.sources = {info.name};
    info.bytes = file->size();
    info.splits = split_bytes_90_5_5(info.bytes, fmt::format("'{}'", place.string()));
    return {std::move(file), std::move(info)};
  }
  const fs::path description = place / kDatasetFile;
  if (!is_there(description)) throw_not_prepared(place, path);
  DatasetInfo info = dataset_from_json(read_dataset_file(description), description.string());
  const fs::path data = place / kDataFile;
  if (!is_there(data)) {
    throw DataError("'{}' is missing; {} bytes expected. Prepare the data set again.",
                    data.string(), info.bytes);
  }
  const auto actual = static_cast<int64_t>(fs::file_size(data, error));
  if (error) throw DataError("cannot read '{}': {}", data.string(), error.message());
  if (actual != info.bytes) {
    throw DataError("'{}' has {} bytes, but {} are expected. Prepare the data set again.",
                    data.string(), actual, info.bytes);
  }
  return {std::make_shared<const MappedFile>(data.string()), std::move(info)};
}

std::span<const uint8_t> ByteDataset::bytes() const {
  file_->check_size();
  return file_->bytes().first(static_cast<size_t>(info_.bytes));
}

std::span<const uint8_t> ByteDataset::split(Split split) const {
  const ByteRange& part = range(split);
  return bytes().subspan(static_cast<size_t>(part.begin), static_cast<size_t>(part.size()));
}

void ByteDataset::read(Split split, int64_t offset, std::span<uint8_t> out) const {
  const auto wanted = static_cast<int64_t>(out.size());
  const int64_t size = split_size(split);
  SSA_CHECK(offset >= 0 && wanted <= size && offset <= size - wanted,
            "read of {} bytes at {} is outside the {} split ({} bytes) of '{}'", wanted, offset,
            name(split), size, path());
  file_->read(range(split).begin + offset, out);
}

ByteScan scan(const ByteDataset& dataset) {
  ByteTally tally;
  std::vector<uint8_t> buffer(size_t{1} << 20);
  for (const Split split : kSplits) {
    const auto size = dataset.split_size(split);
    for (int64_t done = 0; done < size;) {
      const auto piece = std::min<int64_t>(size - done, static_cast<int64_t>(buffer.size()));
      const std::span<uint8_t> out(buffer.data(), static_cast<size_t>(piece));
      dataset.read(split, done, out);
      tally.add(out);
      done += piece;
    }
  }
  return {tally.distinct(), tally.checksum()};
}

void verify(const ByteDataset& dataset) {
  const std::string& expected = dataset.info().checksum;
  if (expected.empty()) return;
  if (const std::string actual = scan(dataset).checksum; actual != expected) {
    throw DataError(
        "'{}' is damaged: its XXH3-64 checksum is {}, but {} is expected. Prepare the data set "
        "again.",
        dataset.path(), actual, expected);
  }
}

}  // namespace ssa
