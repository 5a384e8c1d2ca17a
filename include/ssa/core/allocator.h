#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

namespace ssa {

/// What a buffer is for; memory statistics are kept by category.
enum class MemoryCategory { parameters, gradients, optimizer, activations, workspace, data };
inline constexpr size_t kMemoryCategories = 6;
std::string_view name(MemoryCategory category);

struct MemoryStats {
  std::array<int64_t, kMemoryCategories> bytes{};       ///< in use now, by category
  std::array<int64_t, kMemoryCategories> peak_bytes{};  ///< each category's own highest
  int64_t total_bytes = 0;
  int64_t peak_total_bytes = 0;
  int64_t cached_bytes = 0;        ///< freed, kept for reuse
  int64_t system_allocations = 0;  ///< how often the system was asked for memory
};

/// Hands out 64-byte aligned buffers and keeps freed ones for reuse, so that a steady training
/// step asks the system for nothing. Sizes are rounded up to at most 1/8 above what was asked (up
/// to 512 bytes: to a multiple of 64). When the system has no more, the kept buffers go back to it
/// before a request fails.
/// Thread safe.
class CachingAllocator {
 public:
  ~CachingAllocator();
  /// Throws Error (exit code 2) with the memory in use by category when the system has no more.
  void* allocate(size_t bytes, MemoryCategory category);
  void release(void* pointer, size_t bytes, MemoryCategory category) noexcept;
  /// Gives the kept buffers back to the system.
  void trim() noexcept;
  MemoryStats stats() const;
  /// Lets peaks start again from what is in use now.
  void reset_peaks();
  /// The size of the buffer that a request is served from.
  static size_t rounded_size(size_t bytes);
  /// Testing: the n-th request from now on to the system fails (0: never).
  void fail_after(int64_t requests) { fail_countdown_ = requests; }

 private:
  void* from_system(size_t bytes);
  void free_kept() noexcept;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by rounded size
  MemoryStats stats_;
  int64_t fail_countdown_ = 0;
};

/// The allocator of host memory, shared by the reference and the CPU backend.
CachingAllocator& host_allocator();

}  // namespace ssa
