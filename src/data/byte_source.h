#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <archive.h>

namespace ssa {

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using ArchiveHandle = std::unique_ptr<archive, FreeArchive>;

/// Throws DataError: "'path' is truncated or corrupt: ...".
[[noreturn]] void throw_corrupt(const std::string& path, archive* handle);

/// A stream of bytes read front to back.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Reads up to out.size() bytes; 0 at the end. Throws DataError.
  virtual size_t read(std::span<uint8_t> out) = 0;
  /// Bytes read from the underlying file.
  virtual int64_t consumed() const = 0;
};

/// The bytes of a file as they are.
std::unique_ptr<ByteSource> open_plain(const std::string& path);
/// The bytes of a file of `format` "gz", "xz", "zst" or "bz2", unpacked and checked against its
/// checksums.
std::unique_ptr<ByteSource> open_compressed(const std::string& path, std::string_view format);

}  // namespace ssa
