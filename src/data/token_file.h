#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "ssa/core/error.h"

namespace ssa {

/// The header of tokens.bin. `count` tokens follow, each a little-endian integer of `width` bytes,
/// one split after the other.
struct TokenFileHeader {
  char magic[8] = {'s', 's', 'a', 't', 'o', 'k', 'e', 'n'};
  uint32_t version = 1;
  uint32_t width = 4;
  int64_t count = 0;
  uint64_t reserved = 0;

  std::span<const uint8_t> as_bytes() const {
    return {reinterpret_cast<const uint8_t*>(this), sizeof(*this)};
  }
};
static_assert(sizeof(TokenFileHeader) == 32);
static_assert(std::endian::native == std::endian::little, "token files are read as they are");

/// Throws DataError unless `bytes` are the header of a file of `count` tokens of `width` bytes.
inline void check_token_file_header(std::span<const uint8_t> bytes, int64_t count, int64_t width,
                                    const std::string& path) {
  const TokenFileHeader expected{.width = static_cast<uint32_t>(width), .count = count};
  TokenFileHeader found;
  SSA_CHECK(bytes.size() == sizeof(found), "a token file's header has {} bytes, not {}",
            sizeof(found), bytes.size());
  std::memcpy(&found, bytes.data(), sizeof(found));
  if (std::memcmp(found.magic, expected.magic, sizeof(found.magic)) != 0) {
    throw DataError(
        "'{}' is not a token file: it does not begin with \"ssatoken\". Prepare the data "
        "set again.",
        path);
  }
  if (found.version != expected.version || found.width != expected.width ||
      found.count != expected.count) {
    throw DataError(
        "'{}' is damaged: its header states version {}, {} bytes per token, {} tokens, but {}, {} "
        "and {} are expected. Prepare the data set again.",
        path, found.version, found.width, found.count, expected.version, expected.width,
        expected.count);
  }
}

}  // namespace ssa
