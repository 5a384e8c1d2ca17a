#include "csv_reader.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 17;
constexpr size_t kMostFields = 10'000;
constexpr std::array<uint8_t, 3> kByteOrderMark = {0xef, 0xbb, 0xbf};

}  // namespace

CsvReader::CsvReader(const std::string& path, CsvFormat format)
    : path_(path), format_(format), stream_(path), buffer_(kPieceBytes) {
  if (!stream_.next_member()) throw DataError("archive '{}' holds no file", path_);
  if (peek() == kByteOrderMark.front()) skip_byte_order_mark();
  if (!read_row(columns_))
    throw DataError("'{}' is empty: a row of column names is missing", path_);
}

void CsvReader::skip_byte_order_mark() {
  const size_t there = std::min(filled_ - position_, kByteOrderMark.size());
  if (std::equal(kByteOrderMark.begin(), kByteOrderMark.end(), buffer_.begin(),
                 buffer_.begin() + static_cast<std::ptrdiff_t>(there))) {
    position_ += there;
  }
}

size_t CsvReader::column(std::string_view name) const {
  const auto found = std::ranges::find(columns_, name);
  if (std::ranges::count(columns_, name) > 1) {
    throw DataError("'{}' has several columns '{}': rename those that are not meant", path_, name);
  }
  if (found != columns_.end()) return static_cast<size_t>(found - columns_.begin());
  throw DataError("'{}' has no column '{}'; its columns: {}", path_, name,
                  fmt::join(columns_, ", "));
}

bool CsvReader::next(std::vector<std::string>& fields) {
  if (!read_row(fields)) {
    if (stream_.is_archive() && stream_.next_member()) {
      throw DataError("'{}' holds several files: unpack it, and give the one that is meant", path_);
    }
    return false;
  }
  if (fields.size() == columns_.size()) return true;
  throw DataError("'{}', line {}: {} fields, but {} columns ({})", path_, row_line_, fields.size(),
                  columns_.size(), fmt::join(columns_, ", "));
}

bool CsvReader::read_row(std::vector<std::string>& fields) {
  while (peek() == '\n' || peek() == '\r') end_line();
  if (peek() < 0) return false;
  row_line_ = line_;
  size_t count = 0;
  while (true) {
    if (count == kMostFields) {
      throw DataError("'{}', line {}: more than {} fields", path_, row_line_, kMostFields);
    }
    if (count == fields.size()) fields.emplace_back();
    read_field(fields[count++]);
    if (peek() != separator()) break;
    ++position_;
  }
  fields.resize(count);
  end_line();
  return true;
}

void CsvReader::read_field(std::string& field) {
  field.clear();
  if (peek() == '"' && !format_.tabs) return read_quoted(field);
  for (int byte = peek(); !ends_field(byte); byte = peek()) add(field, byte);
}

void CsvReader::read_quoted(std::string& field) {
  ++position_;
  while (true) {
    const int byte = peek();
    if (byte < 0) {
      throw DataError("'{}', line {}: a quote is opened and never closed", path_, row_line_);
    }
    line_ += byte == '\n';
    if (byte != '"') {
      add(field, byte);
      continue;
    }
    ++position_;
    if (peek() != '"') break;
    add(field, '"');
  }
  if (!ends_field(peek())) {
    throw DataError("'{}', line {}: text behind a closing quote", path_, row_line_);
  }
}

bool CsvReader::ends_field(int byte) const {
  return byte < 0 || byte == separator() || byte == '\n' || byte == '\r';
}

int CsvReader::peek() {
  if (position_ == filled_) {
    filled_ = stream_.read(buffer_);
    position_ = 0;
    if (filled_ == 0) return -1;
  }
  return buffer_[position_];
}

void CsvReader::add(std::string& field, int byte) {
  if (field.size() == format_.most_bytes) {
    throw DataError("'{}', line {}: a field of more than {} bytes: is a quote never closed?", path_,
                    row_line_, format_.most_bytes);
  }
  field += static_cast<char>(byte);
  ++position_;
}

void CsvReader::end_line() {
  if (peek() == '\r') ++position_;
  if (peek() == '\n') ++position_;
  ++line_;
}

}  // namespace ssa
