#pragma once

#include "ssa/core/allocator.h"

namespace ssa {

/// The memory of Device::counting as long as this object lives, for the thread that made it. There
/// is nothing behind its addresses: what is copied in is forgotten, what is copied out is 0. Its
/// allocator is the one of all devices, so that sizes and peaks are those of a real run. Nothing is
/// known of earlier counts. One can live at a time in a thread; its tensors must not outlive it.
class CountingMemory {
 public:
  CountingMemory();
  ~CountingMemory();
  CountingMemory(const CountingMemory&) = delete;
  CountingMemory& operator=(const CountingMemory&) = delete;

  DeviceMemory& memory() { return *memory_; }
  CachingAllocator& allocator() { return allocator_; }

  /// This thread's. Throws ShapeError if there is none.
  static CountingMemory& current();

 private:
  std::unique_ptr<DeviceMemory> memory_;
  CachingAllocator allocator_;
};

}  // namespace ssa
