#include "ssa/core/allocator.h"

#include <bit>
#include <new>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/tensor.h"

namespace ssa {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and an AVX-512 register
// More than a process can address; a negative size turned unsigned is one such request.
constexpr size_t kHopeless = size_t{1} << 48;

size_t index(MemoryCategory category) { return static_cast<size_t>(category); }

}  // namespace

std::string_view name(MemoryCategory category) {
  switch (category) {
    case MemoryCategory::parameters:
      return "parameters";
    case MemoryCategory::gradients:
      return "gradients";
    case MemoryCategory::optimizer:
      return "optimizer";
    case MemoryCategory::activations:
      return "activations";
    case MemoryCategory::workspace:
      return "workspace";
    case MemoryCategory::data:
      return "data";
  }
  return "unknown";
}

size_t CachingAllocator::rounded_size(size_t bytes) {
  if (bytes == 0) return kAlignment;
  if (bytes <= 512) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes >= kHopeless) return bytes;  // rounding up could overflow; allocate() refuses it
  const size_t granule = std::bit_floor(bytes) / 8;  // eight size classes an octave
  return (bytes + granule - 1) / granule * granule;
}

CachingAllocator::CachingAllocator() : CachingAllocator(device_memory(Device::cpu), "") {}
CachingAllocator::CachingAllocator(DeviceMemory& memory, std::string_view where)
    : memory_(memory), where_(where) {}
CachingAllocator::~CachingAllocator() { trim(); }

void* CachingAllocator::from_memory(size_t bytes) {
  if (fail_countdown_ > 0 && --fail_countdown_ == 0) return nullptr;
  if (bytes >= kHopeless) return nullptr;
  void* pointer = memory_.allocate(bytes);
  if (!pointer && stats_.cached_bytes > 0) {  // kept buffers of other sizes may make room
    free_kept();
    pointer = memory_.allocate(bytes);
  }
  if (pointer) ++stats_.system_allocations;
  return pointer;
}

void* CachingAllocator::allocate(size_t bytes, MemoryCategory category) {
  const size_t size = rounded_size(bytes);
  const std::lock_guard lock(mutex_);
  void* pointer = nullptr;
  if (auto& kept = free_[size]; !kept.empty()) {
    pointer = kept.back();
    kept.pop_back();
    stats_.cached_bytes -= static_cast<int64_t>(size);
  } else {
    pointer = from_memory(size);
  }
  if (!pointer) throw_out_of_memory(size, category);
  const auto grown = static_cast<int64_t>(size);
  auto& now = stats_.bytes[index(category)];
  auto& peak = stats_.peak_bytes[index(category)];
  now += grown;
  if (now > peak) peak = now;
  stats_.total_bytes += grown;
  if (stats_.total_bytes > stats_.peak_total_bytes) stats_.peak_total_bytes = stats_.total_bytes;
  return pointer;
}

void CachingAllocator::throw_out_of_memory(size_t size, MemoryCategory category) const {
  std::string usage;
  for (size_t i = 0; i < kMemoryCategories; ++i) {
    usage += fmt::format("\n  {:12} {:10.1f} MiB", name(static_cast<MemoryCategory>(i)),
                         static_cast<double>(stats_.bytes[i]) / 0x1p20);
  }
  throw OutOfMemoryError(
      fmt::format("out of memory{}: {:.1f} MiB more for {} could not be had. In use:{}\n"
                  "Lower train.micro_batch first, then data.length or model.width; "
                  "train.activation_checkpointing: block trades time for memory.",
                  where_, static_cast<double>(size) / 0x1p20, name(category), usage));
}

void CachingAllocator::release(void* pointer, size_t bytes, MemoryCategory category) noexcept {
  const size_t size = rounded_size(bytes);
  const std::lock_guard lock(mutex_);
  stats_.bytes[index(category)] -= static_cast<int64_t>(size);
  stats_.total_bytes -= static_cast<int64_t>(size);
  try {
    free_[size].push_back(pointer);
    stats_.cached_bytes += static_cast<int64_t>(size);
  } catch (const std::bad_alloc&) {
    memory_.free(pointer);
  }
}

void CachingAllocator::trim() noexcept {
  const std::lock_guard lock(mutex_);
  free_kept();
}

void CachingAllocator::free_kept() noexcept {
  for (auto& [size, kept] : free_) {
    for (void* pointer : kept) memory_.free(pointer);
    kept.clear();
  }
  stats_.cached_bytes = 0;
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peaks() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.bytes;
  stats_.peak_total_bytes = stats_.total_bytes;
}

}  // namespace ssa
