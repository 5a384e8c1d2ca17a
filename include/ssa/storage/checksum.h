#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ssa {

/// Running XXH3-128 checksum (Collet, xxHash 0.8 specification) of a stream of bytes. It detects
/// damage, not forgery.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;

  void update(const void* data, size_t bytes);
  /// 32 lower-case hexadecimal digits, as `xxh128sum` prints them.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4), as in TensorBoard's records.
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace ssa
