#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ssa {

class CachingAllocator;
enum class Device;

/// A path for inputs into a device's memory, beside the device's other work. Inputs that are sent
/// during a step have arrived when the next step begins.
class InputLane {
 public:
  virtual ~InputLane() = default;
  /// Sends from the host, which may reuse its memory at once. At most as many bytes as the lane was
  /// made for. Data that was sent before and not received is dropped.
  virtual void send(const void* from, size_t bytes) = 0;
  /// Copies the data that was sent last to `to`, in the order of the device's other work.
  virtual void receive(void* to, size_t bytes) = 0;
};

/// Times a device's work by the device's own clock, without making it wait.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  /// Adds a mark in the order of the device's work.
  virtual void mark() = 0;
  /// Seconds between consecutive marks; one fewer than marks. Waits for the last mark.
  virtual std::vector<double> laps() = 0;
};

/// The memory that tensors of one kind of device live in. A backend with memory of its own installs
/// one; `reference` and `cpu` share the host's, which is there from the start.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  /// At least 64-byte aligned; nullptr when there is no more. Throws Error if the device fails.
  virtual void* allocate(size_t bytes) = 0;
  virtual void free(void* pointer) noexcept = 0;

  // Copies take place in the order of the device's other work. They throw Error if it fails.

  /// Copies from the host, which may reuse its memory at once.
  virtual void copy_in(void* to, const void* from, size_t bytes) = 0;
  /// Copies to the host. Waits for all earlier work of the device, and throws its errors.
  virtual void copy_out(void* to, const void* from, size_t bytes) = 0;
  /// The two do not overlap.
  virtual void copy_within(void* to, const void* from, size_t bytes) = 0;
  virtual void zero(void* to, size_t bytes) = 0;

  /// A lane for transfers of up to `bytes`.
  virtual std::unique_ptr<InputLane> open_lane(size_t bytes) = 0;
  virtual std::unique_ptr<Stopwatch> start_stopwatch() = 0;

  /// Returns when all earlier work of the device is done. Throws like copy_out().
  virtual void wait() = 0;
  /// Total size in bytes, used or free.
  virtual int64_t capacity() const = 0;
};

/// Makes tensors of `device` (Device::cuda: the host's memory stays) live in `memory` from now on.
/// Throws ShapeError if a tensor still lives in an earlier memory of that device.
void install_device_memory(Device device, DeviceMemory& memory);
/// Throw ShapeError if the device's backend has not installed its memory yet.
DeviceMemory& device_memory(Device device);
CachingAllocator& allocator(Device device);

}  // namespace ssa
