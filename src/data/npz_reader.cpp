#include "npz_reader.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ssa/core/error.h"

#include "input_stream.h"

namespace ssa {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMostHeader = 65'536;
constexpr size_t kNumbersAtATime = 8'192;

/// What the header of an array says.
struct ArrayHeader {
  int64_t count = 0;
  size_t width = 0;  // bytes of a number
};

class NpzReader {
 public:
  explicit NpzReader(const std::string& path) : path_(path), stream_(path) {
    if (!stream_.is_archive()) throw DataError("'{}' is no .npz file: {}", path_, kHint);
  }

  void read(const std::function<void(const std::string&)>& start,
            const std::function<void(int64_t)>& add) {
    while (stream_.next_member()) {
      std::string name = stream_.member();
      if (name.ends_with(".npy")) name.erase(name.size() - 4);
      const ArrayHeader header = read_header();
      start(name);
      header.width == 8 ? read_numbers<int64_t>(header.count, add)
                        : read_numbers<int32_t>(header.count, add);
    }
  }

 private:
  static constexpr std::string_view kHint =
      "export the splits with np.savez(\"split.npz\", train=…, valid=…, test=…)";

  [[noreturn]] void fail(std::string_view problem) const {
    throw DataError("'{}', array '{}': {}; {}", path_, stream_.member(), problem, kHint);
  }

  void read_all(std::span<uint8_t> out) {
    while (!out.empty()) {
      const size_t got = stream_.read(out);
      if (got == 0) fail("it ends early");
      out = out.subspan(got);
    }
  }

  /// The value of a key of the header, which is a Python dictionary in one line.
  std::string_view value_of(std::string_view header, std::string_view key) const {
    const size_t at = header.find(key);
    if (at == std::string_view::npos) fail("its header is damaged");
    header.remove_prefix(at + key.size());
    while (!header.empty() && (header.front() == ' ' || header.front() == ':')) {
      header.remove_prefix(1);
    }
    return header;
  }

  ArrayHeader read_header() {
    std::array<uint8_t, 12> head{};
    read_all(std::span(head).first(10));
    if (std::memcmp(head.data(), kMagic.data(), kMagic.size()) != 0) fail("it is no .npy file");
    size_t size = head[8] | static_cast<size_t>(head[9]) << 8;
    if (head[6] >= 2) {  // later versions have four bytes for the size
      read_all(std::span(head).subspan(10, 2));
      size |= static_cast<size_t>(head[10]) << 16 | static_cast<size_t>(head[11]) << 24;
    }
    if (size > kMostHeader) fail("its header is damaged");
    std::string text(size, '\0');
    read_all({reinterpret_cast<uint8_t*>(text.data()), text.size()});

    ArrayHeader header;
    const std::string_view type = value_of(text, "'descr'");
    header.width = type.starts_with("'<i8'") ? 8 : type.starts_with("'<i4'") ? 4 : 0;
    if (header.width == 0) fail("it does not hold 32- or 64-bit integers");
    const std::string_view shape = value_of(text, "'shape'");
    const char* begin = shape.data() + 1;
    const char* end = shape.data() + shape.size();
    if (!shape.starts_with('(')) fail("its header is damaged");
    const auto [after, error] = std::from_chars(begin, end, header.count);
    if (error != std::errc() || header.count < 0 || !std::string_view(after, end).starts_with(",)"))
      fail("it does not have one axis");
    return header;
  }

  template <class Number>
  void read_numbers(int64_t count, const std::function<void(int64_t)>& add) {
    std::vector<Number> numbers(kNumbersAtATime);
    while (count > 0) {
      const auto piece = std::span(numbers).first(
          static_cast<size_t>(std::min<int64_t>(count, std::ssize(numbers))));
      read_all({reinterpret_cast<uint8_t*>(piece.data()), piece.size_bytes()});
      for (const Number number : piece) add(number);
      count -= std::ssize(piece);
    }
    uint8_t more = 0;
    if (stream_.read({&more, 1}) != 0) fail("it is longer than its header says");
  }

  std::string path_;
  InputStream stream_;
};

}  // namespace

void read_npz(const std::string& path, const std::function<void(const std::string& name)>& start,
              const std::function<void(int64_t number)>& add) {
  NpzReader(path).read(start, add);
}

}  // namespace ssa
