#include "byte_source.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <archive_entry.h>
#include <zlib.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kBlockSize = size_t{1} << 16;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FileHandle = std::unique_ptr<std::FILE, CloseFile>;

FileHandle open_file(const std::string& path) {
  FileHandle file(std::fopen(path.c_str(), "rbe"));
  if (!file) throw DataError("cannot open '{}': {}", path, std::strerror(errno));
  return file;
}

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::string& path) : path_(path), file_(open_file(path)) {}

  size_t read(std::span<uint8_t> out) override {
    const size_t got = std::fread(out.data(), 1, out.size(), file_.get());
    consumed_ += static_cast<int64_t>(got);
    if (got < out.size() && std::ferror(file_.get())) {
      throw DataError("cannot read '{}' at byte {}: {}", path_, consumed_, std::strerror(errno));
    }
    return got;
  }
  int64_t consumed() const override { return consumed_; }

 private:
  std::string path_;
  FileHandle file_;
  int64_t consumed_ = 0;
};

uint32_t little_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 |
         uint32_t{bytes[3]} << 24;
}

class CompressedSource : public ByteSource {
 public:
  CompressedSource(const std::string& path, std::string_view format)
      : path_(path), is_gzip_(format == "gz"), handle_(archive_read_new()) {
    if (!handle_) throw std::bad_alloc();
    // Only this filter: with several, libarchive would unpack a file that is packed twice, and the
    // inner checksum could not be verified.
    if (format == "gz") archive_read_support_filter_gzip(handle_.get());
    if (format == "bz2") archive_read_support_filter_bzip2(handle_.get());
    if (format == "xz") archive_read_support_filter_xz(handle_.get());
    if (format == "zst") archive_read_support_filter_zstd(handle_.get());
    archive_read_support_format_raw(handle_.get());
    archive_entry* entry = nullptr;
    if (archive_read_open_filename(handle_.get(), path.c_str(), kBlockSize) != ARCHIVE_OK ||
        archive_read_next_header(handle_.get(), &entry) != ARCHIVE_OK) {
      throw_corrupt(path_, handle_.get());
    }
    if (archive_filter_code(handle_.get(), 0) == ARCHIVE_FILTER_NONE) {
      throw DataError("'{}' is truncated or corrupt: it begins like a {} file, but is not one",
                      path_, format);
    }
  }

  size_t read(std::span<uint8_t> out) override {
    if (ended_) return 0;
    const la_ssize_t got = archive_read_data(handle_.get(), out.data(), out.size());
    if (got < 0) throw_corrupt(path_, handle_.get());
    const std::span<const uint8_t> bytes = out.first(static_cast<size_t>(got));
    if (is_gzip_) crc_ = crc32(crc_, bytes.data(), static_cast<uInt>(bytes.size()));
    unpacked_ += static_cast<uint64_t>(got);
    if (got == 0 && !out.empty()) {
      ended_ = true;
      if (is_gzip_) check_gzip_trailer();
    }
    return bytes.size();
  }
  int64_t consumed() const override { return archive_filter_bytes(handle_.get(), -1); }

 private:
  /// The last eight bytes are CRC-32 and size mod 2^32 (RFC 1952). libarchive does not check them.
  void check_gzip_trailer() const {
    const FileHandle file = open_file(path_);
    std::array<uint8_t, 8> trailer{};
    if (std::fseek(file.get(), -8, SEEK_END) != 0 ||
        std::fread(trailer.data(), 1, trailer.size(), file.get()) != trailer.size()) {
      throw DataError("'{}' is truncated: it has no gzip trailer", path_);
    }
    if (little_endian(trailer.data()) != crc_ ||
        little_endian(trailer.data() + 4) != static_cast<uint32_t>(unpacked_)) {
      throw DataError(
          "'{}' is corrupt: its unpacked content ({} bytes) does not match the size and CRC-32 "
          "in the file. Fetch it again. (If it is several gzip files in one, unpack it with gzip "
          "first.)",
          path_, unpacked_);
    }
  }

  std::string path_;
  bool is_gzip_;
  ArchiveHandle handle_;
  uLong crc_ = crc32(0, nullptr, 0);
  uint64_t unpacked_ = 0;
  bool ended_ = false;
};

}  // namespace

void throw_corrupt(const std::string& path, archive* handle) {
  const char* reason = archive_error_string(handle);
  throw DataError("'{}' is truncated or corrupt: {}. Fetch it again.", path,
                  reason ? reason : "no reason given");
}

std::unique_ptr<ByteSource> open_plain(const std::string& path) {
  return std::make_unique<PlainSource>(path);
}

std::unique_ptr<ByteSource> open_compressed(const std::string& path, std::string_view format) {
  return std::make_unique<CompressedSource>(path, format);
}

}  // namespace ssa
