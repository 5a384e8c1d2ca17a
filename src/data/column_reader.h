#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ssa {

enum class TableFormat { csv, tsv, jsonl };
/// By the ending of the file's name, packed or not: .csv, .tsv, .jsonl or .ndjson.
std::optional<TableFormat> table_format_of(std::string_view file_name);

/// Reads the texts of one column of a table, row by row: a CSV file, tab-separated values, or a
/// JSON object per line. Every function throws DataError with path and line.
class ColumnReader {
 public:
  /// Throws DataError if the file's name has another ending or there is no such column.
  static std::unique_ptr<ColumnReader> open(const std::string& path, const std::string& column);
  virtual ~ColumnReader() = default;
  /// The text in the next row; false at the end.
  virtual bool next(std::string& text) = 0;
};

}  // namespace ssa
