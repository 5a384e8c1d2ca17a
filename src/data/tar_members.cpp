#include "tar_members.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using namespace std::string_view_literals;

constexpr int64_t kBlock = 512;
constexpr int64_t kLongestNames = int64_t{1} << 20;  // a header that only tells names
constexpr int64_t kLargestSize = int64_t{1} << 60;

/// The text of a field, up to the first zero byte.
std::string_view until_zero(std::string_view field) { return field.substr(0, field.find('\0')); }

/// A number in octal digits, or in GNU's base 256 if the highest bit is set. Nothing if it is
/// neither, negative or too large.
std::optional<int64_t> number(std::string_view field) {
  int64_t value = 0;
  if ((static_cast<unsigned char>(field.front()) & 0x80u) != 0) {
    for (size_t i = 0; i < field.size(); ++i) {
      const auto byte = static_cast<unsigned char>(field[i]) & (i == 0 ? 0x7fu : 0xffu);
      if (value > (kLargestSize >> 8)) return std::nullopt;
      value = value * 256 + byte;
    }
    return value;
  }
  field = until_zero(field);
  while (field.starts_with(' ')) field.remove_prefix(1);
  while (field.ends_with(' ')) field.remove_suffix(1);
  for (const char digit : field) {
    if (digit < '0' || digit > '7' || value > (kLargestSize >> 3)) return std::nullopt;
    value = value * 8 + (digit - '0');
  }
  return value;
}

/// A header of 512 bytes.
class Header {
 public:
  std::span<uint8_t> bytes() { return {reinterpret_cast<uint8_t*>(block_.data()), block_.size()}; }
  bool is_zero() const {
    return std::ranges::all_of(block_, [](char byte) { return byte == 0; });
  }
  std::optional<int64_t> size() const { return number(field(124, 12)); }
  char type() const { return block_[156]; }

  std::string path() const {
    const std::string_view prefix = until_zero(field(345, 155));
    std::string path(until_zero(field(0, 100)));
    // GNU's own format ("ustar  ") has other things in place of the prefix.
    if (field(257, 6) != "ustar\0"sv || prefix.empty()) return path;
    return std::string(prefix) + "/" + path;
  }

  /// The sum of all bytes, with blanks in place of the sum itself. Old programs added signed bytes.
  bool has_right_sum() const {
    int64_t with_sign = 8 * ' ', without = 8 * ' ';
    for (size_t i = 0; i < block_.size(); ++i) {
      if (i >= 148 && i < 156) continue;
      with_sign += static_cast<signed char>(block_[i]);
      without += static_cast<unsigned char>(block_[i]);
    }
    const std::optional<int64_t> stated = number(field(148, 8));
    return stated && (*stated == without || *stated == with_sign);
  }

 private:
  std::string_view field(size_t at, size_t size) const { return {block_.data() + at, size}; }

  std::array<char, kBlock> block_{};
};

class TarLister {
 public:
  TarLister(const MappedFile& file, int64_t begin, int64_t size, const std::string& name,
            const std::function<void(TarMember)>& visit)
      : file_(file), at_(begin), end_(begin + size), name_(name), visit_(visit) {}

  void list() {
    Header header;
    while (read_header(header)) {
      if (const std::optional<int64_t> size = header.size()) {
        take(header, *size);
      } else {
        fail("a member's size is no number");
      }
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw DataError("'{}' is truncated or corrupt at byte {}: {}. Fetch it again.", name_, at_,
                    what);
  }

  /// False at the end mark.
  bool read_header(Header& header) {
    if (end_ - at_ < kBlock) fail("the tar archive's end mark is missing");
    file_.read(at_, header.bytes());
    if (header.is_zero()) return false;
    if (!header.has_right_sum()) fail("a member's header has a wrong checksum");
    return true;
  }

  void take(const Header& header, int64_t size) {
    const char type = header.type();
    const bool has_pax_size = pax_size_ >= 0 && type != 'x' && type != 'g' && type != 'L';
    if (has_pax_size) size = pax_size_;
    const bool is_link = type >= '1' && type <= '6' && type != '5';
    const int64_t stored = is_link || type == '5' ? 0 : size;  // links state their target's size
    const int64_t content = at_ + kBlock;
    if (stored > end_ - content) fail("a member reaches beyond the end");
    if (type == 'S') fail("it holds a sparse file; pack it anew, without tar's option -S");
    at_ = content;
    if (type == 'L') {
      next_path_ = std::string(until_zero(text(stored)));
    } else if (type == 'x') {
      read_pax(text(stored));
    } else if (type != 'g' && type != 'K') {
      visit_member(header, is_link, stored);
    }
    at_ = content + (stored + kBlock - 1) / kBlock * kBlock;
  }

  void visit_member(const Header& header, bool is_link, int64_t size) {
    TarMember member;
    member.path = next_path_.empty() ? header.path() : std::exchange(next_path_, {});
    member.offset = at_;
    member.size = size;
    pax_size_ = -1;
    const bool is_folder = header.type() == '5' || member.path.ends_with('/');
    member.kind = is_folder ? TarMember::Kind::folder
                  : is_link ? TarMember::Kind::link
                            : TarMember::Kind::file;
    visit_(std::move(member));
  }

  /// The content of a header that only tells names.
  std::string text(int64_t size) const {
    if (size > kLongestNames) fail("a name is too long");
    std::string content(static_cast<size_t>(size), '\0');
    file_.read(at_, {reinterpret_cast<uint8_t*>(content.data()), content.size()});
    return content;
  }

  /// Lines "LENGTH KEY=VALUE", whose length counts the whole line.
  void read_pax(std::string_view lines) {
    while (!lines.empty()) {
      size_t length = 0;
      const auto [end, error] = std::from_chars(lines.data(), lines.data() + lines.size(), length);
      const auto digits = static_cast<size_t>(end - lines.data());
      if (error != std::errc() || length <= digits + 1 || length > lines.size()) {
        fail("a pax header is malformed");
      }
      const std::string_view line = lines.substr(digits + 1, length - digits - 2);
      lines.remove_prefix(length);
      const size_t equals = std::min(line.find('='), line.size());
      set_pax(line.substr(0, equals), line.substr(std::min(equals + 1, line.size())));
    }
  }

  void set_pax(std::string_view key, std::string_view value) {
    if (key == "path") next_path_ = std::string(value);
    if (key.starts_with("GNU.sparse.")) {
      fail("it holds a sparse file; pack it anew, without tar's option -S");
    }
    if (key != "size") return;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), pax_size_);
    if (error != std::errc() || pax_size_ < 0 || pax_size_ > kLargestSize) {
      fail("a member's size is no number");
    }
  }

  const MappedFile& file_;
  int64_t at_;
  int64_t end_;
  const std::string& name_;
  const std::function<void(TarMember)>& visit_;
  std::string next_path_;  // of the next member, where it does not fit its header
  int64_t pax_size_ = -1;  // of the next member; -1: its header has it
};

}  // namespace

void for_each_member(const MappedFile& file, int64_t offset, int64_t size, const std::string& name,
                     const std::function<void(TarMember)>& visit) {
  TarLister(file, offset, size, name, visit).list();
}

}  // namespace ssa
