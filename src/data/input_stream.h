#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

/// File name endings of the packed files that InputStream reads.
std::span<const std::string_view> packed_suffixes();
/// A file's name without the ending of a packed file.
std::string without_packed_suffix(std::string name);
/// "zip", "gz", ... by the file's first bytes; nothing for a plain or unreadable file.
std::optional<std::string_view> packed_format(const std::string& path);

/// Reads a plain, compressed (gz, xz, zst, bz2) or archived (zip, tar, tar.*) file as one or more
/// members, front to back, in little memory. The format follows from the content, not from the
/// name.
///
/// Every function throws DataError with the path for input that is unreadable, truncated or
/// corrupt. Every format's own checksums are verified, gzip's included (libarchive does not);
/// tar has none for its contents.
class InputStream {
 public:
  explicit InputStream(const std::string& path);
  ~InputStream();
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;

  /// True for zip and tar files, which have named members.
  bool is_archive() const;
  /// Goes to the next regular file, at first to the first one. Returns false after the last, when
  /// it has checked the rest of the input.
  bool next_member();
  /// Path of the member inside an archive; the file's own path otherwise.
  const std::string& member() const;
  /// Reads up to out.size() bytes of the member; 0 at its end.
  size_t read(std::span<uint8_t> out);
  /// Bytes read from the file itself.
  int64_t consumed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ssa
