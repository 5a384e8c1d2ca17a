#include "ssa/core/counting_memory.h"

#include <cstring>
#include <limits>

#include "ssa/core/error.h"

namespace ssa {

namespace {

class NoLane : public InputLane {
 public:
  void send(const void*, size_t) override {}
  void receive(void*, size_t) override {}
};

/// All laps take 0 seconds.
class NoStopwatch : public Stopwatch {
 public:
  void mark() override { ++marks_; }
  std::vector<double> laps() override {
    return std::vector<double>(marks_ > 0 ? marks_ - 1 : 0, 0.0);
  }

 private:
  size_t marks_ = 0;
};

class NoMemory : public DeviceMemory {
 public:
  void* allocate(size_t bytes) override {
    const uintptr_t address = next_;
    next_ += bytes;                           // the allocator asks for multiples of 64
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): never read
  }
  void free(void*) noexcept override {}
  void copy_in(void*, const void*, size_t) override {}
  void copy_out(void* to, const void*, size_t bytes) override {
    if (bytes > 0) std::memset(to, 0, bytes);
  }
  void copy_within(void*, const void*, size_t) override {}
  void zero(void*, size_t) override {}
  std::unique_ptr<InputLane> open_lane(size_t) override { return std::make_unique<NoLane>(); }
  std::unique_ptr<Stopwatch> start_stopwatch() override { return std::make_unique<NoStopwatch>(); }
  void wait() override {}
  int64_t capacity() const override { return std::numeric_limits<int64_t>::max(); }

 private:
  // No 64-bit processor maps these addresses, so a read or write of an element is caught.
  uintptr_t next_ = uintptr_t{1} << 62;
};

thread_local CountingMemory* of_this_thread = nullptr;

}  // namespace

CountingMemory::CountingMemory()
    : memory_(std::make_unique<NoMemory>()), allocator_(*memory_, " on the counting device") {
  SSA_CHECK(!of_this_thread, "CountingMemory: this thread counts already");
  of_this_thread = this;
}

CountingMemory::~CountingMemory() { of_this_thread = nullptr; }

CountingMemory& CountingMemory::current() {
  SSA_CHECK(of_this_thread, "no memory for tensors of device counting: make a Count first");
  return *of_this_thread;
}

}  // namespace ssa
