// The GPU's memory, seen from the host.

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/recording.h"

namespace ssa::cuda {

namespace {

/// Pinned memory that small copies from the host go through. The copies of a training step, ids and
/// plans, fit in at once.
class Staging {
 public:
  static constexpr size_t kSlotBytes = size_t{256} << 10;

  /// Queues a copy of at most kSlotBytes.
  void copy(void* to, const void* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    if (!slot.pinned) {
      check(cudaMallocHost(&slot.pinned, kSlotBytes), "allocating pinned memory");
      check(cudaEventCreateWithFlags(&slot.used, cudaEventDisableTiming), "creating an event");
    } else {
      check(cudaEventSynchronize(slot.used), "waiting for a copy to the GPU");
    }
    std::memcpy(slot.pinned, from, bytes);
    check(cudaMemcpyAsync(to, slot.pinned, bytes, cudaMemcpyHostToDevice, stream()),
          "copying to the GPU");
    check(cudaEventRecord(slot.used, stream()), "recording an event");
  }

 private:
  struct Slot {
    void* pinned = nullptr;
    cudaEvent_t used = nullptr;
  };
  std::mutex mutex_;
  std::array<Slot, 64> slots_;
  size_t next_ = 0;
};

/// Through pinned memory and a place on the device, on a stream of its own. Two events keep the
/// order: nothing is taken before it has arrived, and nothing arrives where the last has not been
/// taken.
class GpuLane : public InputLane {
 public:
  explicit GpuLane(size_t bytes) : bytes_(bytes) {
    check(cudaMallocHost(&pinned_, bytes), "allocating pinned memory");
    check(cudaMalloc(&place_, bytes), "allocating the place of inputs");
    check(cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t* event : {&arrived_, &taken_}) {
      check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "creating an event");
    }
  }
  ~GpuLane() override {
    cudaStreamSynchronize(beside_);
    cudaStreamDestroy(beside_);
    cudaEventDestroy(arrived_);
    cudaEventDestroy(taken_);
    cudaFree(place_);
    cudaFreeHost(pinned_);
  }
  GpuLane(const GpuLane&) = delete;
  GpuLane& operator=(const GpuLane&) = delete;

  void send(const void* from, size_t bytes) override {
    SSA_CHECK(bytes <= bytes_, "a lane for {} bytes was sent {}", bytes_, bytes);
    check(cudaEventSynchronize(arrived_), "waiting for a copy to the GPU");
    std::memcpy(pinned_, from, bytes);
    check(cudaStreamWaitEvent(beside_, taken_, 0), "ordering streams");
    check(cudaMemcpyAsync(place_, pinned_, bytes, cudaMemcpyHostToDevice, beside_),
          "copying to the GPU");
    check(cudaEventRecord(arrived_, beside_), "recording an event");
  }

  void receive(void* to, size_t bytes) override {
    if (bytes == 0) return;
    check(cudaStreamWaitEvent(stream(), arrived_, 0), "ordering streams");
    check(cudaMemcpyAsync(to, place_, bytes, cudaMemcpyDeviceToDevice, stream()),
          "copying on the GPU");
    check(cudaEventRecord(taken_, stream()), "recording an event");
  }

 private:
  size_t bytes_;
  void *pinned_ = nullptr, *place_ = nullptr;
  cudaStream_t beside_ = nullptr;
  cudaEvent_t arrived_ = nullptr, taken_ = nullptr;
};

class GpuMemory : public DeviceMemory {
 public:
  void* allocate(size_t bytes) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // not to be found by a later call
      return nullptr;
    }
    check(status, "allocating GPU memory");
    return pointer;
  }

  void free(void* pointer) noexcept override { cudaFree(pointer); }

  void copy_in(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    require_not_recording("a copy from the host");
    if (bytes <= Staging::kSlotBytes) return staging_.copy(to, from, bytes);
    // From pageable memory: CUDA stages it and returns when the host may reuse it.
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
