#include "input_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <utility>

#include <archive.h>
#include <archive_entry.h>

#include "ssa/core/error.h"

#include "byte_source.h"

namespace ssa {

namespace {

using namespace std::string_view_literals;

constexpr size_t kTarBlock = 512;
constexpr size_t kZipTrailer = 65'535 + 22;  // end record with the longest comment
constexpr size_t kBlockSize = size_t{1} << 16;

constexpr std::array kSuffixes = {".zip"sv, ".xz"sv,      ".gz"sv,     ".zst"sv, ".bz2"sv,
                                  ".tar"sv, ".tgz"sv,     ".tar.gz"sv, ".txz"sv, ".tar.xz"sv,
                                  ".tbz"sv, ".tar.bz2"sv, ".tar.zst"sv};

struct Magic {
  std::string_view format;
  std::string_view bytes;
};
constexpr std::array kMagics = {Magic{"zip", "PK\x03\x04"sv},       Magic{"zip", "PK\x05\x06"sv},
                                Magic{"gz", "\x1f\x8b"sv},          Magic{"xz", "\xfd\x37zXZ\0"sv},
                                Magic{"zst", "\x28\xb5\x2f\xfd"sv}, Magic{"bz2", "BZh"sv}};

/// The format, by the first bytes of a file.
std::optional<std::string_view> format_of(std::string_view head) {
  for (const Magic& magic : kMagics) {
    if (!head.starts_with(magic.bytes)) continue;
    // A text may begin with "BZh" too, so look for the block or end mark after the level.
    if (magic.format == "bz2" && (head.size() < 10 || (head.substr(4, 6) != "1AY&SY" &&
                                                       head.substr(4, 6) != "\x17rE8P\x90"))) {
      continue;
    }
    return magic.format;
  }
  if (head.size() == kTarBlock && head.substr(257, 5) == "ustar") return "tar";
  return std::nullopt;
}

std::string read_head(const std::string& path) {
  std::string head(kTarBlock, '\0');
  std::ifstream stream(path, std::ios::binary);
  stream.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  return head;
}

bool named_packed(const std::string& path) {
  return std::ranges::any_of(kSuffixes, [&](auto suffix) { return path.ends_with(suffix); });
}

/// libarchive also reads a zip file without its directory, so it would not notice a missing end.
void check_zip_end(const std::string& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<int64_t>(stream.tellg());
  std::string tail(static_cast<size_t>(std::min<int64_t>(size, kZipTrailer)), '\0');
  stream.seekg(size - static_cast<int64_t>(tail.size()));
  stream.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  if (!stream || tail.rfind("PK\x05\x06"sv) == std::string::npos) {
    throw DataError(
        "'{}' is truncated: a zip file ends with a directory, this one ({} bytes) does "
        "not. Fetch it again.",
        path, size);
  }
}

}  // namespace

std::span<const std::string_view> packed_suffixes() { return kSuffixes; }

std::string without_packed_suffix(std::string name) {
  for (const std::string_view suffix : kSuffixes) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

std::optional<std::string_view> packed_format(const std::string& path) {
  return format_of(read_head(path));
}

struct InputStream::State {
  std::string path;
  std::unique_ptr<ByteSource> source;  // all but zip
  std::string head;                    // first bytes of `source`, read to recognise a tar
  size_t head_given = 0;
  ArchiveHandle reader;  // zip, tar
  bool is_tar = false;
  bool started = false;
  std::string member;
  std::string member_head;  // first bytes of the archive's member, read to recognise a packed one
  size_t member_head_given = 0;
  bool member_begun = false;
  bool member_is_sparse = false;
  std::exception_ptr callback_error;  // kept here, since it must not pass through C code
  std::vector<uint8_t> callback_buffer;
  size_t trailing_zeros = 0;  // at the end of the tar reader's input so far

  void open(const std::string& file_path);
  void open_zip();
  void open_tar();
  /// Reads from `source`, the peeked bytes first.
  size_t pull(std::span<uint8_t> out);
  /// Reads from the archive's member.
  size_t read_member(std::span<uint8_t> out);
  size_t pull_member(std::span<uint8_t> out);
  void begin_member();
  /// Gives the tar reader its next bytes.
  static la_ssize_t supply(archive* handle, void* state, const void** buffer);
  /// Reads and checks the rest of an archive after its last member.
  void finish();
  [[noreturn]] void fail();
};

void InputStream::State::open(const std::string& file_path) {
  path = file_path;
  member = path;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw DataError(
        "'{}' {}", path,
        std::filesystem::exists(path, error) ? "is not a regular file" : "does not exist");
  }
  const auto format = packed_format(path);
  if (!format && named_packed(path)) {
    throw DataError(
        "'{}' has the name of a packed file, but is not one: it is damaged or misnamed. "
        "Fetch it again, or rename it.",
        path);
  }
  if (format == "zip") return open_zip();
  source = !format || format == "tar" ? open_plain(path) : open_compressed(path, *format);
  head.resize(kTarBlock);
  size_t filled = 0;
  while (filled < head.size()) {
    const size_t got =
        source->read({reinterpret_cast<uint8_t*>(head.data()) + filled, head.size() - filled});
    if (got == 0) break;
    filled += got;
  }
  head.resize(filled);
  const auto inner = format_of(head);
  if (inner == "tar") return open_tar();
  if (inner) {
    throw DataError("'{}' is packed twice ({} in {}): unpack it once first", path, *inner,
                    format.value_or("plain"));
  }
}

void InputStream::State::open_zip() {
  check_zip_end(path);
  reader.reset(archive_read_new());
  if (!reader) throw std::bad_alloc();
  archive_read_support_format_zip(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), kBlockSize) != ARCHIVE_OK) fail();
}

void InputStream::State::open_tar() {
  is_tar = true;
  callback_buffer.resize(kBlockSize);
  reader.reset(archive_read_new());
  if (!reader) throw std::bad_alloc();
  archive_read_support_format_tar(reader.get());
  if (archive_read_open(reader.get(), this, nullptr, &State::supply, nullptr) != ARCHIVE_OK) {
    fail();
  }
}

size_t InputStream::State::pull(std::span<uint8_t> out) {
  if (head_given == head.size()) return source->read(out);
  const size_t count = std::min(out.size(), head.size() - head_given);
  std::memcpy(out.data(), head.data() + head_given, count);
  head_given += count;
  return count;
}

size_t InputStream::State::read_member(std::span<uint8_t> out) {
  const la_ssize_t got = archive_read_data(reader.get(), out.data(), out.size());
  if (got < 0) fail();
  return static_cast<size_t>(got);
}

/// Throws if the member is packed itself: its bytes would pass for the data.
void InputStream::State::begin_member() {
  member_begun = true;
  if (member_is_sparse) {
    throw DataError(
        "'{}' holds '{}' as a sparse file, whose holes may be of any size: pack it anew, without "
        "tar's option -S",
        path, member);
  }
  member_head.resize(kTarBlock);
  size_t filled = 0;
  while (filled < member_head.size()) {
    const size_t got = read_member(
        {reinterpret_cast<uint8_t*>(member_head.data()) + filled, member_head.size() - filled});
    if (got == 0) break;
    filled += got;
  }
  member_head.resize(filled);
  if (const auto format = format_of(member_head)) {
    throw DataError("'{}' holds '{}', which is packed itself ({}): unpack it first", path, member,
                    *format);
  }
}

size_t InputStream::State::pull_member(std::span<uint8_t> out) {
  if (!member_begun) begin_member();
  if (member_head_given == member_head.size()) return read_member(out);
  const size_t count = std::min(out.size(), member_head.size() - member_head_given);
  std::memcpy(out.data(), member_head.data() + member_head_given, count);
  member_head_given += count;
  return count;
}

la_ssize_t InputStream::State::supply(archive* handle, void* state, const void** buffer) {
  auto* self = static_cast<State*>(state);
  *buffer = self->callback_buffer.data();
  try {
    const size_t got = self->pull(self->callback_buffer);
    const size_t last = std::min(got, kTarBlock);  // more zeros than an end mark has do not matter
    size_t zeros = 0;
    while (zeros < last && self->callback_buffer[got - 1 - zeros] == 0) ++zeros;
    self->trailing_zeros = zeros == got ? self->trailing_zeros + got : zeros;
    return static_cast<la_ssize_t>(got);
  } catch (...) {
    self->callback_error = std::current_exception();
    archive_set_error(handle, EIO, "input failed");
    return -1;
  }
}

void InputStream::State::finish() {
  if (!is_tar) return;
  // After the last member libarchive may treat a failed callback as the end.
  if (callback_error) fail();
  const void* ignored = nullptr;
  while (true) {
    const la_ssize_t got = supply(reader.get(), this, &ignored);
    if (got < 0) fail();
    if (got == 0) break;
  }
  if (trailing_zeros < kTarBlock) {
    throw DataError("'{}' is truncated: the tar archive's end mark is missing. Fetch it again.",
                    path);
  }
}

void InputStream::State::fail() {
  if (callback_error) std::rethrow_exception(callback_error);
  throw_corrupt(path, reader.get());
}

InputStream::InputStream(const std::string& path) : state_(std::make_unique<State>()) {
  state_->open(path);
}

InputStream::~InputStream() = default;

bool InputStream::is_archive() const { return state_->reader != nullptr; }

const std::string& InputStream::member() const { return state_->member; }

bool InputStream::next_member() {
  State& state = *state_;
  if (!is_archive()) return !std::exchange(state.started, true);
  while (true) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(state.reader.get(), &entry);
    if (result == ARCHIVE_EOF) {
      state.finish();
      return false;
    }
    // Warnings are about names that this locale cannot show.
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) state.fail();
    const char* path = archive_entry_pathname(entry);
    if (!path) path = archive_entry_pathname_utf8(entry);
    state.member = path ? path : "(unnamed)";
    state.member_begun = false;
    state.member_head_given = 0;
    state.member_is_sparse = archive_entry_sparse_count(entry) > 0;
    if (archive_entry_filetype(entry) == AE_IFREG && !state.member.starts_with("__MACOSX/")) {
      return true;
    }
  }
}

size_t InputStream::read(std::span<uint8_t> out) {
  State& state = *state_;
  return is_archive() ? state.pull_member(out) : state.pull(out);
}

int64_t InputStream::consumed() const {
  return state_->source ? state_->source->consumed()
                        : archive_filter_bytes(state_->reader.get(), -1);
}

}  // namespace ssa
