#include "dist/cbor.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace ssa::dist {

namespace {

/// More levels than any message has.
constexpr size_t kDeepest = 16;

/// The first bytes of an item (RFC 8949, section 3).
struct Head {
  enum Kind { positive, negative, bytes, text, list, map, tag, simple };
  Kind kind = positive;
  uint64_t value = 0;  ///< a number, or how much follows
};

/// Takes a head off the front. Nothing if it is cut short, or of a length that is not given, which
/// to_cbor() does not write.
std::optional<Head> take_head(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const auto first = static_cast<unsigned char>(rest.front());
  rest.remove_prefix(1);
  Head head{static_cast<Head::Kind>(first >> 5), first & 0x1fu};
  if (head.value < 24) return head;
  if (head.value > 27) return std::nullopt;
  const size_t width = size_t{1} << (head.value - 24);
  if (rest.size() < width) return std::nullopt;
  head.value = 0;
  for (const char byte : rest.substr(0, width)) {
    head.value = head.value << 8 | static_cast<unsigned char>(byte);
  }
  rest.remove_prefix(width);
  return head;
}

/// Whether the bytes are one document of few levels. The library's reader is recursive: a few
/// kilobytes of nested lists, or of nested strings, would exhaust its thread's stack.
bool is_shallow(std::string_view rest) {
  std::vector<uint64_t> missing = {1};  // items of each open list or map; the document first
  while (!missing.empty()) {
    if (missing.back() == 0) {
      missing.pop_back();
      continue;
    }
    --missing.back();
    const std::optional<Head> head = take_head(rest);
    if (!head || head->kind == Head::tag) return false;
    if (head->kind < Head::bytes || head->kind == Head::simple) continue;
    if (head->value > rest.size()) return false;  // each item takes a byte at least
    if (head->kind <= Head::text) {
      rest.remove_prefix(head->value);
    } else {
      missing.push_back(head->kind == Head::map ? 2 * head->value : head->value);
      if (missing.size() > kDeepest + 1) return false;
    }
  }
  return rest.empty();
}

}  // namespace

nlohmann::json read_cbor(std::string_view bytes) {
  if (!is_shallow(bytes)) throw std::runtime_error("not a message");
  try {
    return nlohmann::json::from_cbor(bytes.begin(), bytes.end());
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error("not a message");
  }
}

}  // namespace ssa::dist
