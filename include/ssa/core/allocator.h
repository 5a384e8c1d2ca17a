#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "ssa/core/device_memory.h"

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
  std::array<int64_t, kMemoryCategories> bytes_at_peak{};  ///< when total_bytes was highest
  int64_t cached_bytes = 0;                                ///< freed, kept for reuse
  int64_t system_allocations = 0;                          ///< number of requests for more memory
};

/// Hands out 64-byte aligned buffers of one memory and keeps freed ones for reuse, so that a steady
/// training step allocates nothing. Sizes are rounded up to at most 1/8 above what was asked
/// (up to 512 bytes: to a multiple of 64). Host memory for gradients may be a part of a larger kept
/// buffer: backward frees activations while it makes gradients. When memory runs out, the kept
/// buffers are released before a request fails. A kept buffer may be handed out while a device
/// still works on it: that is safe as long as all work on the memory is ordered on one stream.
/// Thread safe.
class CachingAllocator {
 public:
  /// An allocator of host memory.
  CachingAllocator();
  /// An allocator of another memory, which outlives it. Messages name the memory by `where`.
  CachingAllocator(DeviceMemory& memory, std::string_view where);
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;
  /// Throws OutOfMemoryError with the memory in use by category when there is no more.
  void* allocate(size_t bytes, MemoryCategory category);
  void release(void* pointer, size_t bytes, MemoryCategory category) noexcept;
  /// Releases the kept buffers, unless a reservation is open.
  void trim() noexcept;
  MemoryStats stats() const;
  /// Resets peaks to what is in use now.
  void reset_peaks();
  /// The size of the buffer that a request is served from.
  static size_t rounded_size(size_t bytes);
  /// Testing: the n-th request from now on to the memory fails (0: never).
  void fail_after(int64_t requests) { fail_countdown_ = requests; }

  class Reservation;
  /// Begins a reservation of all buffers that are handed out until close(). Only one can be open at
  /// a time.
  std::unique_ptr<Reservation> reserve();

 private:
  using Kept = std::map<size_t, std::vector<void*>>;  // by rounded size
  /// A buffer that was kept and is handed out in parts. It is kept again when all have come back.
  struct Shared {
    char* begin;
    size_t size;
    size_t used = 0;
    size_t parts = 0;
  };

  void* take_kept(size_t size) noexcept;
  void* part_of_kept(size_t size);
  bool take_back_part(void* pointer, size_t size) noexcept;
  void* from_memory(size_t bytes);
  void keep(Kept& where, void* pointer, size_t size) noexcept;
  void free_all(Kept& kept) noexcept;
  void revoke_reservations() noexcept;
  [[noreturn]] void throw_out_of_memory(size_t size, MemoryCategory category) const;
  DeviceMemory& memory_;
  std::string_view where_;
  mutable std::mutex mutex_;
  Kept free_;
  std::vector<Shared> shared_;
  bool shares_ = false;
  std::vector<Reservation*> reservations_;
  Reservation* open_ = nullptr;  // one of them
  MemoryStats stats_;
  int64_t fail_countdown_ = 0;
};

/// Buffers that captured work (Backend::record) uses at every replay, although the host has
/// released them. After close() no other request gets them. They count as cached. When memory runs
/// out, the allocator takes them for other requests, and holds() returns false. While a reservation
/// is open, the allocator takes nothing, and the request fails.
class CachingAllocator::Reservation {
 public:
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  /// Ends the reservation of new buffers. Reserved buffers stay reserved.
  void close();
  bool holds() const;

 private:
  friend class CachingAllocator;
  explicit Reservation(CachingAllocator& allocator) : allocator_(allocator) {}
  void take_back(Kept& kept) noexcept;

  CachingAllocator& allocator_;
  bool holds_ = true;
  std::map<void*, size_t> buffers_;  // sizes of all reserved buffers, by address
  Kept released_;                    // released by the host, used by replays only
};

/// The allocator of host memory, shared by the reference and the CPU backend. allocator(device) in
/// device_memory.h is that of any device.
CachingAllocator& host_allocator();

}  // namespace ssa
