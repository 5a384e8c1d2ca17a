#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace ssa {

constexpr std::array<uint32_t, 256> make_crc32_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1u) ? 0xEDB88320u ^ (value >> 1) : value >> 1;
    }
    table[i] = value;
  }
  return table;
}

/// Running CRC-32 as in RFC 1952 (gzip), section 8.
class Crc32 {
 public:
  void add(std::span<const uint8_t> bytes) {
    static constexpr std::array<uint32_t, 256> kTable = make_crc32_table();
    for (const uint8_t byte : bytes) crc_ = kTable[(crc_ ^ byte) & 0xffu] ^ (crc_ >> 8);
  }
  uint32_t value() const { return ~crc_; }

 private:
  uint32_t crc_ = 0xffffffffu;
};

}  // namespace ssa
