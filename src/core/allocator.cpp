#include "ssa/core/allocator.h"

#include <algorithm>
#include <bit>
#include <new>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/out_of_memory.h"
#include "ssa/core/tensor.h"

namespace ssa {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and an AVX-512 register
// More than a process can address, such as a negative size that became unsigned.
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
  if (bytes >= kHopeless) return bytes;  // rounding up could overflow; the request will fail
  const size_t granule = std::bit_floor(bytes) / 8;  // eight size classes per power of two
  return (bytes + granule - 1) / granule * granule;
}

CachingAllocator::CachingAllocator() : CachingAllocator(device_memory(Device::cpu), "") {
  shares_ = true;
}
CachingAllocator::CachingAllocator(DeviceMemory& memory, std::string_view where)
    : memory_(memory), where_(where) {}
CachingAllocator::~CachingAllocator() {
  const std::lock_guard lock(mutex_);
  revoke_reservations();
  free_all(free_);
}

void* CachingAllocator::from_memory(size_t bytes) {
  if (fail_countdown_ > 0 && --fail_countdown_ == 0) return nullptr;
  if (bytes >= kHopeless) return nullptr;
  void* pointer = memory_.allocate(bytes);
  // Frees nothing while work is captured: the captured work may use it.
  if (!pointer && !open_ && stats_.cached_bytes > 0) {  // frees buffers of other sizes to make room
    free_all(free_);
    pointer = memory_.allocate(bytes);
  }
  if (!pointer && !open_ && stats_.cached_bytes > 0) {
    revoke_reservations();
    pointer = memory_.allocate(bytes);
  }
  if (pointer) ++stats_.system_allocations;
  return pointer;
}

/// Null if none of this size is kept.
void* CachingAllocator::take_kept(size_t size) noexcept {
  const auto kept = free_.find(size);
  if (kept == free_.end() || kept->second.empty()) return nullptr;
  void* pointer = kept->second.back();
  kept->second.pop_back();
  stats_.cached_bytes -= static_cast<int64_t>(size);
  return pointer;
}

/// Null if no kept buffer is large enough to be worth it.
void* CachingAllocator::part_of_kept(size_t size) {
  if (!shares_) return nullptr;
  auto block = std::find_if(shared_.begin(), shared_.end(), [&](const Shared& candidate) {
    return candidate.size - candidate.used >= size;
  });
  if (block == shared_.end()) {
    const auto largest = std::find_if(free_.rbegin(), free_.rend(),
                                      [](const auto& kept) { return !kept.second.empty(); });
    if (largest == free_.rend() || largest->first / 2 < size) return nullptr;
    shared_.push_back({static_cast<char*>(largest->second.back()), largest->first});
    largest->second.pop_back();
    block = shared_.end() - 1;
  }
  void* pointer = block->begin + block->used;
  block->used += size;
  ++block->parts;
  stats_.cached_bytes -= static_cast<int64_t>(size);  // the rest of the buffer stays cached
  return pointer;
}

/// Returns false if the pointer is no part of a shared buffer.
bool CachingAllocator::take_back_part(void* pointer, size_t size) noexcept {
  const auto block = std::find_if(shared_.begin(), shared_.end(), [&](const Shared& candidate) {
    return pointer >= candidate.begin && pointer < candidate.begin + candidate.size;
  });
  if (block == shared_.end()) return false;
  stats_.cached_bytes += static_cast<int64_t>(size);
  if (--block->parts > 0) return true;
  const Shared whole = *block;
  shared_.erase(block);
  stats_.cached_bytes -= static_cast<int64_t>(whole.size);
  keep(free_, whole.begin, whole.size);
  return true;
}

void* CachingAllocator::allocate(size_t bytes, MemoryCategory category) {
  const size_t size = rounded_size(bytes);
  const std::lock_guard lock(mutex_);
  void* pointer = nullptr;
  // Gradients stay until the next step. A kept buffer of their size is more often needed.
  if (category == MemoryCategory::gradients) pointer = part_of_kept(size);
  if (!pointer) pointer = take_kept(size);
  if (!pointer) pointer = from_memory(size);
  if (!pointer) throw_out_of_memory(size, category);
  if (open_) open_->buffers_.emplace(pointer, size);
  const auto grown = static_cast<int64_t>(size);
  auto& now = stats_.bytes[index(category)];
  auto& peak = stats_.peak_bytes[index(category)];
  now += grown;
  if (now > peak) peak = now;
  stats_.total_bytes += grown;
  if (stats_.total_bytes > stats_.peak_total_bytes) {
    stats_.peak_total_bytes = stats_.total_bytes;
    stats_.bytes_at_peak = stats_.bytes;
  }
  return pointer;
}

void CachingAllocator::throw_out_of_memory(size_t size, MemoryCategory category) const {
  std::string usage;
  for (size_t i = 0; i < kMemoryCategories; ++i) {
    usage += fmt::format("\n  {:12} {:10.1f} MiB", name(static_cast<MemoryCategory>(i)),
                         static_cast<double>(stats_.bytes[i]) / 0x1p20);
  }
  throw OutOfMemoryError(
      fmt::format("out of memory{}: {:.1f} MiB more for {} are not available. In use:{}\n{}{}",
                  where_, static_cast<double>(size) / 0x1p20, name(category), usage, kLowerMemory,
                  remembered_memory_plan()));
}

void CachingAllocator::release(void* pointer, size_t bytes, MemoryCategory category) noexcept {
  const size_t size = rounded_size(bytes);
  const std::lock_guard lock(mutex_);
  stats_.bytes[index(category)] -= static_cast<int64_t>(size);
  stats_.total_bytes -= static_cast<int64_t>(size);
  if (category == MemoryCategory::gradients && take_back_part(pointer, size)) return;
  for (Reservation* reservation : reservations_) {
    if (reservation == open_ || !reservation->buffers_.contains(pointer)) continue;
    return keep(reservation->released_, pointer, size);
  }
  keep(free_, pointer, size);
}

void CachingAllocator::keep(Kept& where, void* pointer, size_t size) noexcept {
  try {
    where[size].push_back(pointer);
    stats_.cached_bytes += static_cast<int64_t>(size);
  } catch (const std::bad_alloc&) {
    memory_.free(pointer);
  }
}

void CachingAllocator::trim() noexcept {
  const std::lock_guard lock(mutex_);
  if (!open_) free_all(free_);
}

void CachingAllocator::free_all(Kept& kept) noexcept {
  for (auto& [size, pointers] : kept) {
    for (void* pointer : pointers) memory_.free(pointer);
    stats_.cached_bytes -= static_cast<int64_t>(size * pointers.size());
    pointers.clear();
  }
}

// ---- reservations ------------------------------------------------------------------------------

std::unique_ptr<CachingAllocator::Reservation> CachingAllocator::reserve() {
  std::unique_ptr<Reservation> made(new Reservation(*this));
  const std::lock_guard lock(mutex_);
  SSA_CHECK(!open_, "CachingAllocator: a reservation is open already");
  reservations_.push_back(made.get());
  open_ = made.get();
  return made;
}

void CachingAllocator::revoke_reservations() noexcept {
  for (Reservation* reservation : reservations_) {
    reservation->holds_ = false;
    reservation->buffers_.clear();
    free_all(reservation->released_);
  }
}

void CachingAllocator::Reservation::close() {
  const std::lock_guard lock(allocator_.mutex_);
  if (allocator_.open_ != this) return;
  allocator_.open_ = nullptr;
  take_back(allocator_.free_);
}

/// Moves reserved buffers that were released from the common free list to its own.
void CachingAllocator::Reservation::take_back(Kept& kept) noexcept {
  for (auto& [size, pointers] : kept) {
    const auto first = std::stable_partition(pointers.begin(), pointers.end(), [&](void* pointer) {
      return !buffers_.contains(pointer);
    });
    for (auto own = first; own != pointers.end(); ++own) {
      allocator_.stats_.cached_bytes -= static_cast<int64_t>(size);
      allocator_.keep(released_, *own, size);
    }
    pointers.erase(first, pointers.end());
  }
}

bool CachingAllocator::Reservation::holds() const {
  const std::lock_guard lock(allocator_.mutex_);
  return holds_;
}

CachingAllocator::Reservation::~Reservation() {
  const std::lock_guard lock(allocator_.mutex_);
  if (allocator_.open_ == this) allocator_.open_ = nullptr;
  std::erase(allocator_.reservations_, this);
  for (auto& [size, pointers] : released_) {
    for (void* pointer : pointers) {
      allocator_.stats_.cached_bytes -= static_cast<int64_t>(size);
      allocator_.keep(allocator_.free_, pointer, size);
    }
  }
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peaks() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.bytes;
  stats_.peak_total_bytes = stats_.total_bytes;
  stats_.bytes_at_peak = stats_.bytes;
}

}  // namespace ssa
