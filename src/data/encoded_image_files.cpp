#include "encoded_image_files.h"

#include <algorithm>

#include <fmt/format.h>
#include <zlib.h>

#include "byte_tally.h"
#include "word_text.h"

namespace ssa {

std::string shard_name(int64_t shard) { return fmt::format("shard-{:05}.bin", shard); }

uint32_t crc32_of(std::span<const uint8_t> bytes) {
  return static_cast<uint32_t>(crc32_z(0, bytes.data(), bytes.size()));
}

std::string index_checksum(std::span<const IndexEntry> index, std::string_view names) {
  ByteTally tally;
  tally.add({reinterpret_cast<const uint8_t*>(index.data()), index.size_bytes()});
  tally.add({reinterpret_cast<const uint8_t*>(names.data()), names.size()});
  return tally.checksum();
}

std::string printable(std::string_view text) {
  std::string line;
  const auto escape = [&line](char byte) {
    line += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  };
  while (!text.empty()) {
    const size_t valid = std::min(find_not_utf8(text), text.size());
    for (const char byte : text.substr(0, valid)) {
      const auto value = static_cast<unsigned char>(byte);
      if (value < 0x20 || value == 0x7f) {
        escape(byte);
      } else {
        line += byte;
      }
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    escape(text.front());
    text.remove_prefix(1);
  }
  return line;
}

}  // namespace ssa
