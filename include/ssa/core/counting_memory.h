#pragma once

#include "ssa/core/allocator.h"

namespace ssa {

/// The memory of Device::counting for the thread that made this object, while it lives. Nothing is
/// stored: copies to it are ignored, copies from it give 0. It has the same allocator as other
/// devices, so sizes and peaks are those of a real run. It starts empty. A thread can have one at a
/// time. Tensors must not outlive it.
class CountingMemory {
 public:
  CountingMemory();
  ~CountingMemory();
  CountingMemory(const CountingMemory&) = delete;
  CountingMemory& operator=(const CountingMemory&) = delete;

  DeviceMemory& memory() { return *memory_; }
  CachingAllocator& allocator() { return allocator_; }

  /// This thread's object. Throws ShapeError if there is none.
  static CountingMemory& current();

 private:
  std::unique_ptr<DeviceMemory> memory_;
  CachingAllocator allocator_;
};

}  // namespace ssa
