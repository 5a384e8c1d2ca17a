#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "input_stream.h"

namespace ssa {

/// What kinds of tables differ in.
struct CsvFormat {
  /// Fields are separated by tabs, and quotes are characters like others.
  bool tabs = false;
  /// Of a field. A quote that is never closed would else read the whole file into one.
  size_t most_bytes = size_t{1} << 20;
};

/// Reads a CSV file, plain or packed, row by row. Fields are separated by commas; a field in
/// quotes may hold commas, line breaks, and quotes as two of them. The first row names the columns.
///
/// Every function throws DataError with path and line.
class CsvReader {
 public:
  /// An archive must hold one file.
  explicit CsvReader(const std::string& path, CsvFormat format = {});

  const std::vector<std::string>& columns() const { return columns_; }
  /// Number of a column. If there is none of this name, the error lists those that there are.
  size_t column(std::string_view name) const;
  /// The next row, which has a field for each column; false at the end. Empty lines are passed.
  bool next(std::vector<std::string>& fields);
  /// Line of the row that next() returned, from 1.
  int64_t line() const { return row_line_; }
  /// Bytes read from the file itself.
  int64_t consumed() const { return stream_.consumed(); }

 private:
  void skip_byte_order_mark();
  bool read_row(std::vector<std::string>& fields);
  void read_field(std::string& field);
  void read_quoted(std::string& field);
  /// The next byte; -1 at the end.
  int peek();
  void add(std::string& field, int byte);
  void end_line();

  char separator() const { return format_.tabs ? '\t' : ','; }
  bool ends_field(int byte) const;

  std::string path_;
  CsvFormat format_;
  InputStream stream_;
  std::vector<uint8_t> buffer_;
  size_t position_ = 0;
  size_t filled_ = 0;
  int64_t line_ = 1;
  int64_t row_line_ = 0;
  std::vector<std::string> columns_;
};

}  // namespace ssa
