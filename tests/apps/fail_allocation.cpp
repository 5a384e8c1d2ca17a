// A library to preload (LD_PRELOAD): memory that runs out at a chosen moment of a whole program.
//
//   FAIL_ALLOCATION=n      the n-th allocation fails, all others succeed
//   FAIL_AT_LEAST=bytes    counts only allocations of at least this size
//   FAIL_BEYOND=bytes      instead: every allocation fails that would make the program hold more
//   ALLOCATIONS_FILE=path  writes there at the end how many were counted, and the most bytes held
//
// oneDNN does not check whether its allocations succeed, so the n-th one is never counted there:
// the program makes sure that oneDNN has room before it enters it, which FAIL_BEYOND attacks.

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

std::atomic<long> counted{0}, held{0}, most_held{0};
std::atomic<bool> armed{false};
long fail_at = 0, beyond = 0;
size_t at_least = 0;
const char* report = nullptr;

struct Range {
  size_t first, last;
  bool contains(const void* address) const {
    const auto place = reinterpret_cast<size_t>(address);
    return first <= place && place < last;
  }
};
Range onednn{0, 0};

int find_onednn(dl_phdr_info* info, size_t, void*) {
  if (!std::strstr(info->dlpi_name, "libdnnl")) return 0;
  onednn.first = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD) continue;
    const size_t last = info->dlpi_addr + part.p_vaddr + part.p_memsz;
    if (last > onednn.last) onednn.last = last;
  }
  return 1;
}

long number(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::atol(text) : 0;
}

void write_report() {
  if (!report) return;
  armed = false;
  if (std::FILE* file = std::fopen(report, "w")) {
    std::fprintf(file, "%ld %ld\n", counted.load(), most_held.load());
    std::fclose(file);
  }
}

__attribute__((constructor)) void arm() {
  fail_at = number("FAIL_ALLOCATION");
  at_least = static_cast<size_t>(number("FAIL_AT_LEAST"));
  beyond = number("FAIL_BEYOND");
  report = std::getenv("ALLOCATIONS_FILE");
  dl_iterate_phdr(find_onednn, nullptr);
  std::atexit(write_report);
  armed = true;
}

bool fails(size_t bytes, const void* caller) {
  if (!armed) return false;
  if (beyond > 0) return held + static_cast<long>(bytes) > beyond;
  if (bytes < at_least || onednn.contains(caller)) return false;
  return ++counted == fail_at;
}

void* kept(void* memory) {
  if (!memory) return nullptr;
  const auto bytes = static_cast<long>(malloc_usable_size(memory));
  const long now = held += bytes;
  long most = most_held;
  while (now > most && !most_held.compare_exchange_weak(most, now)) {
  }
  return memory;
}

void forget(void* memory) {
  if (memory) held -= static_cast<long>(malloc_usable_size(memory));
}

void* refuse() {
  errno = ENOMEM;
  return nullptr;
}

void* take(size_t bytes, size_t alignment, const void* caller) {
  if (fails(bytes, caller)) return refuse();
  return kept(alignment ? __libc_memalign(alignment, bytes) : __libc_malloc(bytes));
}

void* take_or_throw(size_t bytes, size_t alignment, const void* caller) {
  void* memory = take(bytes, alignment, caller);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

#define CALLER __builtin_return_address(0)

extern "C" {
void* malloc(size_t bytes) { return take(bytes, 0, CALLER); }
void* calloc(size_t count, size_t size) {
  return fails(count * size, CALLER) ? refuse() : kept(__libc_calloc(count, size));
}
void* realloc(void* memory, size_t bytes) {
  if (fails(bytes, CALLER)) return refuse();
  forget(memory);
  return kept(__libc_realloc(memory, bytes));
}
void* aligned_alloc(size_t alignment, size_t bytes) { return take(bytes, alignment, CALLER); }
void* memalign(size_t alignment, size_t bytes) { return take(bytes, alignment, CALLER); }
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  void* taken = take(bytes, alignment, CALLER);
  if (!taken) return ENOMEM;
  *memory = taken;
  return 0;
}
/// Maps are not counted as held, but what does not fit fails.
void* mmap(void* wish, size_t bytes, int protection, int flags, int file, off_t offset) {
  if (file < 0 && beyond > 0 && fails(bytes, CALLER)) {
    refuse();
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(syscall(SYS_mmap, wish, bytes, protection, flags, file, offset));
}
void free(void* memory) {
  forget(memory);
  __libc_free(memory);
}
}

void* operator new(size_t bytes) { return take_or_throw(bytes, 0, CALLER); }
void* operator new[](size_t bytes) { return take_or_throw(bytes, 0, CALLER); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return take(bytes, 0, CALLER); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return take(bytes, 0, CALLER);
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return take_or_throw(bytes, static_cast<size_t>(alignment), CALLER);
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return take_or_throw(bytes, static_cast<size_t>(alignment), CALLER);
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete[](void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t) noexcept { free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { free(memory); }
