#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace ssa {

/// A file mapped into memory for reading. Its size is fixed when it is opened: later growth is not
/// seen.
///
/// If a file has shrunk, a read of a mapped page past its end kills the process with SIGBUS. So
/// callers of bytes() call check_size() before they read a batch. Code that runs for long (the
/// training loader) uses read(), which throws if the file has shrunk.
class MappedFile {
 public:
  /// Throws DataError if `path` is missing, unreadable, empty or no regular file.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes when the file was opened.
  int64_t size() const { return size_; }
  std::span<const uint8_t> bytes() const { return {data_, static_cast<size_t>(size_)}; }

  /// Throws DataError with the path, the expected and the actual size if the file has shrunk since
  /// it was opened.
  void check_size() const;
  /// Copies bytes offset … offset+out.size()-1. Throws DataError, never a signal, if the file has
  /// shrunk or cannot be read; ShapeError if the range is outside the file as it was opened.
  /// Thread safe.
  void read(int64_t offset, std::span<uint8_t> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  const uint8_t* data_ = nullptr;
};

}  // namespace ssa
