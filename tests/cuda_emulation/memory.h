#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

namespace emulation {

/// The memory of the emulated device: one region of addresses that host code cannot touch.
/// Allocations are surrounded by canaries and filled with 0xff, which is NaN for floating types.
/// All functions but contains() need an Access.
class DeviceHeap {
 public:
  static DeviceHeap& instance();

  /// The lock of the device. Kernels, copies, and the heap's own functions hold it while they
  /// access device memory.
  class Access {
   public:
    Access();
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    std::lock_guard<std::mutex> lock_;
  };

  /// 256-byte aligned; null if there is no room.
  void* allocate(size_t bytes);
  /// Returns false if `pointer` is not an allocation.
  bool free(void* pointer);
  /// Whether all these bytes belong to one allocation.
  bool owns(const void* pointer, size_t bytes) const;
  /// Describes an allocation that was written outside its bounds; empty without one.
  std::string damage() const;
  size_t free_bytes() const { return kBytes - used_; }
  static constexpr size_t total_bytes() { return kBytes; }
  /// Whether an address is in the region.
  bool contains(const void* pointer) const;

 private:
  DeviceHeap();
  void protect(int protection);

  static constexpr size_t kBytes = size_t{4} << 30;
  unsigned char* base_ = nullptr;
  size_t high_water_ = 0;  // no byte above it was ever used
  size_t used_ = 0;
  std::map<size_t, size_t> live_;  // offset of the data, size asked for
  std::mutex mutex_;
};

}  // namespace emulation
