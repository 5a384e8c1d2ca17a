#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>

#include <fmt/format.h>
#include <xxhash.h>

namespace ssa {

/// Size, distinct values and XXH3-64 checksum of a stream of bytes.
class ByteTally {
 public:
  ByteTally() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    XXH3_64bits_reset(state_.get());
  }

  void add(std::span<const uint8_t> bytes) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
    for (const uint8_t byte : bytes) seen_[byte] = true;
    bytes_ += static_cast<int64_t>(bytes.size());
  }

  int64_t bytes() const { return bytes_; }
  int64_t distinct() const {
    int64_t count = 0;
    for (const bool seen : seen_) count += seen;
    return count;
  }
  std::string checksum() const { return fmt::format("{:016x}", XXH3_64bits_digest(state_.get())); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
  std::array<bool, 256> seen_{};
  int64_t bytes_ = 0;
};

}  // namespace ssa
