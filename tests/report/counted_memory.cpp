// Replaces the allocation functions of the test program by some that count.

#include "report/counted_memory.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include <malloc.h>

namespace {

std::atomic<bool> counting = false;
std::atomic<long> held = 0, most = 0;

void count(long bytes) {
  if (!counting) return;
  const long now = held += bytes;
  for (long before = most; now > before && !most.compare_exchange_weak(before, now);) {
  }
}

}  // namespace

// All forms: a sanitizer has functions of its own for those that are not replaced, and refuses
// memory that one form has taken and another gives back.

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  void* const memory = std::malloc(std::max<size_t>(1, bytes));
  if (memory) count(static_cast<long>(malloc_usable_size(memory)));
  return memory;
}

void* operator new(size_t bytes) {
  void* const memory = ::operator new(bytes, std::nothrow);
  if (!memory) throw std::bad_alloc();
  return memory;
}

void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return ::operator new(bytes, std::nothrow);
}
void* operator new[](size_t bytes) { return ::operator new(bytes); }

void operator delete(void* memory) noexcept {
  if (memory) count(-static_cast<long>(malloc_usable_size(memory)));
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept { ::operator delete(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { ::operator delete(memory); }
void operator delete[](void* memory) noexcept { ::operator delete(memory); }
void operator delete[](void* memory, size_t) noexcept { ::operator delete(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { ::operator delete(memory); }

namespace ssa::testing {

CountedMemory::CountedMemory() {
  held = most = 0;
  counting = true;
}

CountedMemory::~CountedMemory() { counting = false; }

size_t CountedMemory::peak_bytes() const { return static_cast<size_t>(std::max(0L, most.load())); }

}  // namespace ssa::testing
