#include "ssa/core/device_memory.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <unistd.h>

#include "ssa/core/allocator.h"
#include "ssa/core/counting_memory.h"
#include "ssa/core/tensor.h"

namespace ssa {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and an AVX-512 register

class HostLane : public InputLane {
 public:
  void send(const void* from, size_t bytes) override {
    const auto* first = static_cast<const std::byte*>(from);
    sent_.assign(first, first + bytes);
  }
  void receive(void* to, size_t bytes) override {
    if (bytes > 0) std::memcpy(to, sent_.data(), bytes);
  }

 private:
  std::vector<std::byte> sent_;
};

class HostStopwatch : public Stopwatch {
 public:
  void mark() override { marks_.push_back(Clock::now()); }
  std::vector<double> laps() override {
    std::vector<double> seconds;
    for (size_t i = 1; i < marks_.size(); ++i) {
      seconds.push_back(std::chrono::duration<double>(marks_[i] - marks_[i - 1]).count());
    }
    return seconds;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> marks_;
};

class HostMemory : public DeviceMemory {
 public:
  void* allocate(size_t bytes) override { return std::aligned_alloc(kAlignment, bytes); }
  void free(void* pointer) noexcept override { std::free(pointer); }
  void copy_in(void* to, const void* from, size_t bytes) override { copy_within(to, from, bytes); }
  void copy_out(void* to, const void* from, size_t bytes) override { copy_within(to, from, bytes); }
  void copy_within(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void zero(void* to, size_t bytes) override {
    if (bytes > 0) std::memset(to, 0, bytes);
  }
  std::unique_ptr<InputLane> open_lane(size_t) override { return std::make_unique<HostLane>(); }
  std::unique_ptr<Stopwatch> start_stopwatch() override {
    return std::make_unique<HostStopwatch>();
  }
  void wait() override {}
  int64_t capacity() const override {
    return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  }
};

/// A memory and its allocator. The last one is never destroyed, since static objects may hold
/// tensors.
struct Installed {
  explicit Installed(DeviceMemory& device) : memory(device), allocator(device, " on the GPU") {}
  DeviceMemory& memory;
  CachingAllocator allocator;
};

std::atomic<Installed*> cuda{nullptr};

Installed& installed(Device device) {
  Installed* found = cuda.load(std::memory_order_acquire);
  SSA_CHECK(found, "no memory for tensors of device {}: backend() installs it", name(device));
  return *found;
}

}  // namespace

void install_device_memory(Device device, DeviceMemory& memory) {
  SSA_CHECK(device == Device::cuda, "the host's memory stays where it is");
  Installed* earlier = cuda.load(std::memory_order_acquire);
  SSA_CHECK(!earlier || earlier->allocator.stats().total_bytes == 0,
            "tensors still live in the earlier memory of device {}", name(device));
  cuda.store(new Installed(memory), std::memory_order_release);
  delete earlier;
}

DeviceMemory& device_memory(Device device) {
  if (device == Device::cuda) return installed(device).memory;
  if (device == Device::counting) return CountingMemory::current().memory();
  static auto* memory = new HostMemory;
  return *memory;
}

CachingAllocator& allocator(Device device) {
  if (device == Device::cuda) return installed(device).allocator;
  if (device == Device::counting) return CountingMemory::current().allocator();
  return host_allocator();
}

CachingAllocator& host_allocator() {
  static auto* host = new CachingAllocator;
  return *host;
}

}  // namespace ssa
