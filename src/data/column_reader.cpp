#include "column_reader.h"

#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

#include "csv_reader.h"
#include "input_stream.h"

namespace ssa {

namespace {

/// Of a field, or of a line of JSON: far more than any text of a table, and little memory.
constexpr size_t kMostBytes = size_t{1} << 26;
constexpr size_t kPieceBytes = size_t{1} << 17;

class CsvColumn : public ColumnReader {
 public:
  CsvColumn(const std::string& path, const std::string& column, TableFormat format)
      : csv_(path, {.tabs = format == TableFormat::tsv, .most_bytes = kMostBytes}),
        column_(csv_.column(column)) {}

  bool next(std::string& text) override {
    if (!csv_.next(fields_)) return false;
    text.swap(fields_[column_]);
    return true;
  }

 private:
  CsvReader csv_;
  size_t column_;
  std::vector<std::string> fields_;
};

class JsonColumn : public ColumnReader {
 public:
  JsonColumn(const std::string& path, std::string column)
      : path_(path), column_(std::move(column)), stream_(path), buffer_(kPieceBytes) {
    if (!stream_.next_member()) throw DataError("archive '{}' holds no file", path_);
  }

  bool next(std::string& text) override {
    do {
      if (!read_line()) return false;
    } while (line_.find_first_not_of(" \t\r") == std::string::npos);
    text = text_in_line();
    return true;
  }

 private:
  std::string text_in_line() const {
    const nlohmann::json row = nlohmann::json::parse(line_, nullptr, /*allow_exceptions=*/false);
    if (row.is_discarded()) fail("no valid JSON: it is cut short, or has bytes that are no UTF-8");
    if (!row.is_object()) fail("a JSON object is expected");
    const auto found = row.find(column_);
    if (found == row.end()) {
      std::string keys;
      for (const auto& [key, value] : row.items()) keys += (keys.empty() ? "" : ", ") + key;
      fail(fmt::format("there is no '{}'; the keys are: {}", column_, keys));
    }
    if (!found->is_string()) fail(fmt::format("'{}' is no text", column_));
    return found->get<std::string>();
  }

  bool read_line() {
    line_.clear();
    bool any = false;
    while (true) {
      if (position_ == filled_) {
        filled_ = stream_.read(buffer_);
        position_ = 0;
        if (filled_ == 0) break;
      }
      any = true;
      const char* const begin = reinterpret_cast<const char*>(buffer_.data()) + position_;
      const std::string_view rest(begin, filled_ - position_);
      const size_t end = rest.find('\n');
      line_.append(rest.substr(0, end));
      if (line_.size() > kMostBytes) fail(fmt::format("more than {} bytes", kMostBytes));
      position_ += end == std::string_view::npos ? rest.size() : end + 1;
      if (end != std::string_view::npos) break;
    }
    number_ += any;
    if (!any && stream_.is_archive() && stream_.next_member()) {
      throw DataError("'{}' holds several files: unpack it, and give the one that is meant", path_);
    }
    return any;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw DataError("'{}', line {}: {}", path_, number_, problem);
  }

  std::string path_, column_;
  InputStream stream_;
  std::vector<uint8_t> buffer_;
  size_t position_ = 0, filled_ = 0;
  std::string line_;
  int64_t number_ = 0;
};

}  // namespace

std::optional<TableFormat> table_format_of(std::string_view file_name) {
  const std::string name = without_packed_suffix(std::string(file_name));
  if (name.ends_with(".csv")) return TableFormat::csv;
  if (name.ends_with(".tsv")) return TableFormat::tsv;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return TableFormat::jsonl;
  return std::nullopt;
}

std::unique_ptr<ColumnReader> ColumnReader::open(const std::string& path,
                                                 const std::string& column) {
  const auto format = table_format_of(path);
  if (!format) {
    throw DataError(
        "'{}': --column {} is for tables, but this name ends with none of .csv, .tsv, .jsonl and "
        ".ndjson",
        path, column);
  }
  if (*format == TableFormat::jsonl) return std::make_unique<JsonColumn>(path, column);
  return std::make_unique<CsvColumn>(path, column, *format);
}

}  // namespace ssa
