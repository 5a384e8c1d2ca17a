#include "memory.h"

#include <cstdint>
#include <cstring>
#include <new>

#include <fmt/format.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace emulation {

namespace {

constexpr size_t kCanary = 256, kHugePage = size_t{2} << 20;
constexpr unsigned char kCanaryByte = 0xCA, kFreshByte = 0xFF;

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/// From the start of an allocation's data to the end of the canary after it, which is also the
/// canary before the next allocation.
size_t extent(size_t bytes) { return rounded_up(bytes, kCanary) + kCanary; }

// Canaries are poisoned for AddressSanitizer, so these functions are not instrumented.
#if defined(__SANITIZE_ADDRESS__)
#define SSA_UNCHECKED __attribute__((no_sanitize_address, noinline))
#else
#define SSA_UNCHECKED
#endif

SSA_UNCHECKED void write_bytes(volatile unsigned char* at, size_t bytes, unsigned char value) {
  for (size_t i = 0; i < bytes; ++i) at[i] = value;
}

SSA_UNCHECKED bool all_bytes_are(const unsigned char* at, size_t bytes, unsigned char value) {
  unsigned char difference = 0;
  for (size_t i = 0; i < bytes; ++i) difference |= at[i] ^ value;
  return difference == 0;
}

}  // namespace

/// Never destroyed: tensors with static lifetime may outlive it.
DeviceHeap& DeviceHeap::instance() {
  static DeviceHeap& heap = *new DeviceHeap;
  return heap;
}

DeviceHeap::DeviceHeap() {
  void* memory = mmap(nullptr, kBytes + kHugePage, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<uintptr_t>(memory);
  base_ = static_cast<unsigned char*>(memory) + (rounded_up(address, kHugePage) - address);
  // Protection changes twice a launch; of huge pages, where there are any, that costs little.
  madvise(base_, kBytes, MADV_HUGEPAGE);
}

void DeviceHeap::protect(int protection) {
  if (high_water_ > 0) mprotect(base_, high_water_, protection);
}

DeviceHeap::Access::Access() : lock_(instance().mutex_) {
  instance().protect(PROT_READ | PROT_WRITE);
}
DeviceHeap::Access::~Access() { instance().protect(PROT_NONE); }

void* DeviceHeap::allocate(size_t bytes) {
  if (bytes > kBytes) return nullptr;
  size_t offset = kCanary;  // of the first gap that is wide enough
  for (const auto& [begin, size] : live_) {
    if (offset + extent(bytes) <= begin) break;
    offset = begin + extent(size);
  }
  if (offset + extent(bytes) > kBytes) return nullptr;
  if (offset + extent(bytes) > high_water_) {
    const size_t before = high_water_;
    high_water_ = rounded_up(offset + extent(bytes), kHugePage);
    protect(PROT_READ | PROT_WRITE);
    ASAN_POISON_MEMORY_REGION(base_ + before, high_water_ - before);
  }
  live_[offset] = bytes;
  used_ += bytes;
  unsigned char* data = base_ + offset;
  write_bytes(data - kCanary, kCanary, kCanaryByte);
  write_bytes(data + bytes, extent(bytes) - bytes, kCanaryByte);
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  std::memset(data, kFreshByte, bytes);
  return data;
}

bool DeviceHeap::free(void* pointer) {
  const auto found =
      contains(pointer)
          ? live_.find(static_cast<size_t>(static_cast<unsigned char*>(pointer) - base_))
          : live_.end();
  if (found == live_.end()) return false;
  ASAN_POISON_MEMORY_REGION(pointer, found->second);
  used_ -= found->second;
  live_.erase(found);
  return true;
}

bool DeviceHeap::contains(const void* pointer) const {
  const auto* address = static_cast<const unsigned char*>(pointer);
  return address >= base_ && address < base_ + kBytes;
}

bool DeviceHeap::owns(const void* pointer, size_t bytes) const {
  if (!contains(pointer)) return false;
  const auto offset = static_cast<size_t>(static_cast<const unsigned char*>(pointer) - base_);
  auto found = live_.upper_bound(offset);
  if (found == live_.begin()) return false;
  --found;
  return offset + bytes <= found->first + found->second;
}

std::string DeviceHeap::damage() const {
  for (const auto& [offset, bytes] : live_) {
    const unsigned char* data = base_ + offset;
    const bool before = all_bytes_are(data - kCanary, kCanary, kCanaryByte);
    const bool behind = all_bytes_are(data + bytes, extent(bytes) - bytes, kCanaryByte);
    if (before && behind) continue;
    return fmt::format("memory {} an allocation of {} bytes at {} was written",
                       before ? "behind" : "before", bytes, static_cast<const void*>(data));
  }
  return "";
}

}  // namespace emulation
