#include "ssa/data/token_dataset.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "byte_tally.h"
#include "dataset_files.h"
#include "find_data.h"
#include "input_stream.h"
#include "list_folder.h"
#include "token_file.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

/// Says why a folder without dataset.json cannot be opened.
[[noreturn]] void throw_not_prepared(const fs::path& folder, const std::string& asked_for) {
  std::error_code ignored;
  std::string prepared;
  for (const fs::path& entry : list_folder(folder, ignored)) {
    if (fs::exists(entry / kDatasetFile, ignored)) prepared += "\n  " + entry.string();
  }
  if (!prepared.empty()) {
    throw DataError(
        "'{}' is not a prepared data set, but holds some. Set data.path to the one that is "
        "meant:{}",
        folder.string(), prepared);
  }
  for (const fs::path& entry : list_folder(folder, ignored)) {
    const std::string name = entry.filename().string();
    if (!name.starts_with("enwik8") && name != "wiki.train.tokens") continue;
    throw DataError(
        "'{}' is not a prepared data set, but holds '{}'. Prepare it once:\n  {}", folder.string(),
        entry.string(),
        prepare_command(name.starts_with("wiki") ? folder : entry, asked_for + "-prepared"));
  }
  throw DataError(
      "'{}' is a folder without {}, so not a prepared data set. Make one of the files in it:\n  {}",
      folder.string(), kDatasetFile, prepare_command(folder, asked_for + "-prepared"));
}

/// Reads the vocabulary of words or ids, and compares it with what dataset.json says.
Vocabulary read_vocabulary(const fs::path& path, const DatasetInfo& info) {
  if (!is_there(path)) {
    throw DataError("'{}' is missing; {} tokens expected. Prepare the data set again.",
                    path.string(), info.vocabulary);
  }
  const std::string text = read_text(path);
  Vocabulary vocabulary = info.kind == TokenKind::ids ? ids_from_text(text, path.string())
                                                      : vocabulary_from_text(text, path.string());
  if (vocabulary.size() != info.vocabulary) {
    throw DataError("'{}' has {} tokens, but {} are expected. Prepare the data set again.",
                    path.string(), vocabulary.size(), info.vocabulary);
  }
  if (const std::string checksum = vocabulary_checksum(text);
      checksum != info.vocabulary_checksum) {
    throw DataError(
        "'{}' is damaged: its XXH3-64 checksum is {}, but {} is expected. Prepare the data set "
        "again.",
        path.string(), checksum, info.vocabulary_checksum);
  }
  return vocabulary;
}

}  // namespace

TokenDataset::TokenDataset(std::shared_ptr<const MappedFile> file, DatasetInfo info,
                           std::shared_ptr<const Vocabulary> vocabulary)
    : file_(std::move(file)), info_(std::move(info)), vocabulary_(std::move(vocabulary)) {}

TokenDataset TokenDataset::open_plain(const std::string& path) {
  const fs::path place = path;
  if (const auto format = packed_format(path)) {
    const fs::path output = place.parent_path() / (place.stem().string() + "-prepared");
    throw DataError("'{}' is a packed file ({}). Prepare it once and give the folder:\n  {}", path,
                    *format, prepare_command(place, output));
  }
  auto file = std::make_shared<const MappedFile>(path);
  DatasetInfo info;
  info.name = place.filename().string();
  info.sources = {info.name};
  info.tokens = file->size();
  info.splits = split_bytes_90_5_5(info.tokens, fmt::format("'{}'", path));
  return {std::move(file), std::move(info),
          std::make_shared<const Vocabulary>(Vocabulary::bytes())};
}

TokenDataset TokenDataset::open(const std::string& path) {
  const fs::path place = find_data(path);
  std::error_code error;
  if (!fs::is_directory(place, error)) return open_plain(place.string());
  const fs::path description = place / kDatasetFile;
  if (!is_there(description)) throw_not_prepared(place, path);
  DatasetInfo info = dataset_from_json(read_text(description), description.string());
  if (info.kind == TokenKind::bytes) {
    const fs::path data = place / kDataFile;
    check_file(data, info.bytes());
    return {std::make_shared<const MappedFile>(data.string()), std::move(info),
            std::make_shared<const Vocabulary>(Vocabulary::bytes())};
  }
  const fs::path data = place / kTokenFile;
  check_file(data, static_cast<int64_t>(sizeof(TokenFileHeader)) + info.bytes());
  auto file = std::make_shared<const MappedFile>(data.string());
  std::array<uint8_t, sizeof(TokenFileHeader)> header{};
  file->read(0, header);
  check_token_file_header(header, info.tokens, info.token_width(), data.string());
  auto vocabulary =
      std::make_shared<const Vocabulary>(read_vocabulary(place / info.vocabulary_file(), info));
  return {std::move(file), std::move(info), std::move(vocabulary)};
}

void TokenDataset::read(Split split, int64_t offset, std::span<int32_t> out) const {
  const auto wanted = static_cast<int64_t>(out.size());
  const int64_t size = split_size(split);
  SSA_CHECK(offset >= 0 && wanted <= size && offset <= size - wanted,
            "read of {} {} at {} is outside the {} split ({}) of '{}'", wanted, info_.unit(),
            offset, name(split), size, path());
  const int64_t first = range(split).begin + offset;
  if (info_.kind != TokenKind::bytes) return read_tokens(first, out);
  // Reads the bytes into the last quarter of `out`, then widens them to tokens from the front.
  uint8_t* bytes = reinterpret_cast<uint8_t*>(out.data()) + 3 * out.size();
  file_->read(first, {bytes, out.size()});
  for (size_t i = 0; i < out.size(); ++i) out[i] = bytes[i];
}

void TokenDataset::read_tokens(int64_t first, std::span<int32_t> out) const {
  const auto offset = static_cast<int64_t>(sizeof(TokenFileHeader)) + first * info_.token_width();
  if (info_.token_width() == 2) {
    // Reads into the last half of `out`, then widens from the front.
    uint16_t* narrow = reinterpret_cast<uint16_t*>(out.data()) + out.size();
    file_->read(offset, {reinterpret_cast<uint8_t*>(narrow), 2 * out.size()});
    for (size_t i = 0; i < out.size(); ++i) {
      uint16_t token = 0;
      std::memcpy(&token, narrow + i, sizeof(token));
      out[i] = token;
    }
  } else {
    file_->read(offset, {reinterpret_cast<uint8_t*>(out.data()), out.size_bytes()});
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] >= 0 && out[i] < info_.vocabulary) continue;
    throw DataError(
        "'{}' is damaged: token {} at byte {} is outside its vocabulary of {}. Prepare the data "
        "set again.",
        path(), out[i], offset + static_cast<int64_t>(i) * info_.token_width(), info_.vocabulary);
  }
}

ByteScan scan(const TokenDataset& dataset) {
  constexpr int64_t kMostPiece = int64_t{1} << 20;
  ByteTally tally;
  const int64_t size = dataset.info().bytes();
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min(size, kMostPiece)));
  const auto header =
      dataset.info().kind == TokenKind::bytes ? 0 : static_cast<int64_t>(sizeof(TokenFileHeader));
  for (int64_t done = 0; done < size;) {
    const auto piece = std::min<int64_t>(size - done, static_cast<int64_t>(buffer.size()));
    const std::span<uint8_t> out(buffer.data(), static_cast<size_t>(piece));
    dataset.file_->read(header + done, out);
    tally.add(out);
    done += piece;
  }
  return {tally.distinct(), tally.checksum()};
}

void verify(const TokenDataset& dataset) {
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
