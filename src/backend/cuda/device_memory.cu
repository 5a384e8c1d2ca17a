// The GPU's memory, seen from the host.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ssa/core/tensor.h"

#include "backend/cuda/device_memory.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/recording.h"

namespace ssa::cuda {

namespace {

struct FreePinned {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};

using PinnedMemory = std::unique_ptr<void, FreePinned>;

PinnedMemory allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "allocating pinned memory");
  return PinnedMemory(memory);
}

/// An event without timing.
class OrderEvent {
 public:
  OrderEvent() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event");
  }
  ~OrderEvent() { cudaEventDestroy(event_); }
  OrderEvent(const OrderEvent&) = delete;
  OrderEvent& operator=(const OrderEvent&) = delete;

  void record(cudaStream_t on) { check(cudaEventRecord(event_, on), "recording an event"); }
  void hold_up(cudaStream_t other) {
    check(cudaStreamWaitEvent(other, event_, 0), "ordering streams");
  }
  void wait() { check(cudaEventSynchronize(event_), "waiting for a copy to the GPU"); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Pinned staging buffers for small copies from the host, such as tokens and plans without a lane.
/// There are enough for all copies of a step.
class Staging {
 public:
  static constexpr size_t kSlotBytes = size_t{256} << 10;

  /// Queues a copy of at most kSlotBytes.
  void copy(void* to, const void* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    if (!slot.pinned) {
      slot.used.emplace();
      slot.pinned = allocate_pinned(kSlotBytes);
    }
    slot.used->wait();
    std::memcpy(slot.pinned.get(), from, bytes);
    check(cudaMemcpyAsync(to, slot.pinned.get(), bytes, cudaMemcpyHostToDevice, stream()),
          "copying to the GPU");
    slot.used->record(stream());
  }

 private:
  struct Slot {
    PinnedMemory pinned;
    std::optional<OrderEvent> used;
  };
  std::mutex mutex_;
  std::array<Slot, 64> slots_;
  size_t next_ = 0;
};

/// A stream beside stream().
class SideStream {
 public:
  SideStream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  /// Waits for its work.
  ~SideStream() {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Copies through pinned memory into a buffer on the device, on a stream of its own. Two events
/// keep the order: data are read after they have arrived, and overwritten after they were read.
class GpuLane : public InputLane {
 public:
  explicit GpuLane(size_t bytes)
      : place_(Tensor::empty({static_cast<int64_t>(bytes)}, DType::u8, Device::cuda,
                             MemoryCategory::data)),
        pinned_(allocate_pinned(bytes)) {
    taken_.record(stream());  // its queued work may still use the memory of this buffer
  }

  void send(const void* from, size_t bytes) override {
    SSA_CHECK(bytes <= place_.bytes(), "a lane for {} bytes was sent {}", place_.bytes(), bytes);
    arrived_.wait();
    std::memcpy(pinned_.get(), from, bytes);
    taken_.hold_up(beside_.get());
    check(
        cudaMemcpyAsync(place_.raw(), pinned_.get(), bytes, cudaMemcpyHostToDevice, beside_.get()),
        "copying to the GPU");
    arrived_.record(beside_.get());
  }

  void receive(void* to, size_t bytes) override {
    if (bytes == 0) return;
    arrived_.hold_up(stream());
    check(cudaMemcpyAsync(to, place_.raw(), bytes, cudaMemcpyDeviceToDevice, stream()),
          "copying on the GPU");
    taken_.record(stream());
  }

 private:
  Tensor place_;
  PinnedMemory pinned_;
  OrderEvent arrived_, taken_;
  SideStream beside_;  // last, so that its work is done before the other members are destroyed
};

class GpuStopwatch : public Stopwatch {
 public:
  GpuStopwatch() = default;
  ~GpuStopwatch() override {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  GpuStopwatch(const GpuStopwatch&) = delete;
  GpuStopwatch& operator=(const GpuStopwatch&) = delete;

  void mark() override {
    check(cudaEventCreate(&events_.emplace_back()), "creating an event");
    check(cudaEventRecord(events_.back(), stream()), "recording an event");
  }
  std::vector<double> laps() override {
    std::vector<double> seconds;
    wait_and_check();
    for (size_t i = 1; i < events_.size(); ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events_[i - 1], events_[i]), "reading events");
      seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
    }
    return seconds;
  }

 private:
  std::vector<cudaEvent_t> events_;
};

class GpuMemory : public DeviceMemory {
 public:
  void* allocate(size_t bytes) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // clears the error for later calls
      return nullptr;
    }
    check(status, "allocating GPU memory");
    return pointer;
  }

  void free(void* pointer) noexcept override {
    cudaStreamSynchronize(stream());  // CUDA does not promise that freeing waits for work on it
    cudaFree(pointer);
  }

  void copy_in(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    require_not_recording("a copy from the host");
    if (bytes <= Staging::kSlotBytes) return staging_.copy(to, from, bytes);
    // CUDA copies pageable memory to a staging buffer and returns when the host may reuse it.
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()), "copying to the GPU");
  }

  void copy_out(void* to, const void* from, size_t bytes) override {
    require_not_recording("waiting for the device");
    if (bytes > 0) {
      check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()),
            "copying from the GPU");
    }
    wait_and_check();
  }

  void copy_within(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()),
          "copying on the GPU");
  }

  void zero(void* to, size_t bytes) override {
    if (bytes > 0) check(cudaMemsetAsync(to, 0, bytes, stream()), "clearing GPU memory");
  }

  std::unique_ptr<InputLane> open_lane(size_t bytes) override {
    return std::make_unique<GpuLane>(std::max<size_t>(bytes, 1));
  }

  std::unique_ptr<Stopwatch> start_stopwatch() override { return std::make_unique<GpuStopwatch>(); }
  void wait() override { wait_and_check(); }

  int64_t capacity() const override {
    size_t free_bytes = 0, total = 0;
    check(cudaMemGetInfo(&free_bytes, &total), "asking for the GPU's memory");
    return static_cast<int64_t>(total);
  }

 private:
  Staging staging_;
};

}  // namespace

DeviceMemory& memory() {
  static auto* instance = new GpuMemory;  // outlives every tensor
  return *instance;
}

}  // namespace ssa::cuda
