#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "input_stream.h"

namespace ssa {

/// The tokenizer of a file of ids, as far as its header says.
enum class IdHeader { none, gpt2, llama3 };

/// Reads a file of ids, plain or packed, piece by piece. Every function throws DataError with path
/// and offset.
class IdReader {
 public:
  /// `width` is that of ids without a header, in bytes; 0: not known, which is then an error.
  /// Throws ConfigError if a header states another width.
  IdReader(const std::string& path, int64_t width);

  IdHeader header() const { return header_; }
  /// The next ids; false at the end.
  bool next(std::vector<uint32_t>& ids);
  /// Where the first one of these began, in the unpacked file.
  int64_t offset() const { return offset_; }
  int64_t width() const { return width_; }
  /// Bytes read from the file itself.
  int64_t consumed() const { return stream_.consumed(); }

 private:
  void read_header(int64_t given_width);
  void check_end() const;

  std::string path_;
  InputStream stream_;
  std::vector<uint8_t> buffer_;
  size_t filled_ = 0;  // bytes in the buffer that have not been returned
  IdHeader header_ = IdHeader::none;
  int64_t width_ = 0;
  int64_t stated_ = -1;  // ids, as the header says
  int64_t offset_ = 0;   // of the ids that were returned last
  int64_t end_ = 0;      // of these
};

}  // namespace ssa
