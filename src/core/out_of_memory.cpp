#include "ssa/core/out_of_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <system_error>

#include <execinfo.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/core/system_limits.h"

namespace ssa {

namespace {

constexpr std::string_view kWhat =
    "out of memory: the system refused memory that the program asked for. ";

/// Static, so that it is there when nothing can be allocated.
struct RememberedPlan {
  std::mutex mutex;
  std::array<char, 1000> text{};
  size_t size = 0;
  std::string_view view() const { return {text.data(), size}; }
};
constinit RememberedPlan plan;

std::atomic<bool> ended{false};

std::terminate_handler otherwise = nullptr;

void write_error(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

/// The keys to lower, and the plan.
void write_advice() noexcept {
  write_error(kLowerMemory);
  write_error("\n");
  const std::lock_guard lock(plan.mutex);
  if (plan.size == 0) return;
  write_error(plan.view());
  write_error("\n");
}

void on_exit_of_library(int code, void*) {
  if (ended || code != EXIT_FAILURE) return;
  write_error(program_invocation_short_name);
  write_error(
      ": error: a library has ended the program; its message stands above. If it has no memory or "
      "cannot make a thread: ");
  write_advice();
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(ExitCode::usage));
}

/// The error that ends the process, if it is one about memory, is reported.
void on_terminate() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) {
      report_out_of_memory(program_invocation_short_name);
      std::_Exit(static_cast<int>(ExitCode::usage));
    }
  } catch (...) {  // the handler below says what it is
  }
  if (otherwise) otherwise();
  std::abort();
}

bool there_is_room(size_t bytes) noexcept {
  constexpr size_t kFromHeap = size_t{64} << 10;
  if (bytes <= kFromHeap) {
    void* volatile memory = std::malloc(bytes);  // volatile: the compiler may not leave it out
    std::free(memory);
    return memory != nullptr;
  }
  // Not from the heap, which would keep larger blocks for good after a large one.
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  ::munmap(memory, bytes);
  return true;
}

}  // namespace

void require_room(size_t bytes) {
  if (!there_is_room(bytes)) throw std::bad_alloc();
}

void remember_memory_plan(std::string_view text) noexcept {
  const std::lock_guard lock(plan.mutex);
  plan.size = text.copy(plan.text.data(), plan.text.size());
}

std::string remembered_memory_plan() {
  const std::lock_guard lock(plan.mutex);
  return plan.size == 0 ? "" : "\n" + std::string(plan.view());
}

bool is_out_of_memory(const std::exception& error) noexcept {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return true;
  if (dynamic_cast<const OutOfMemoryError*>(&error)) return true;
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  return system && (system->code() == std::errc::not_enough_memory ||
                    system->code() == std::errc::resource_unavailable_try_again);
}

std::string out_of_memory_message(const std::exception& error) {
  if (dynamic_cast<const OutOfMemoryError*>(&error)) return error.what();
  return std::string(kWhat) + std::string(kLowerMemory) + remembered_memory_plan();
}

void report_out_of_memory(std::string_view program) noexcept {
  write_error(program);
  write_error(": error: ");
  write_error(kWhat);
  write_advice();
}

void end_with_message_without_memory() noexcept {
  const std::terminate_handler before = std::set_terminate(on_terminate);
  if (before == on_terminate) return;
  otherwise = before;
  // Loads what unwinding needs while there is memory for it; the C library aborts without it.
  std::array<void*, 1> frame{};
  ::backtrace(frame.data(), static_cast<int>(frame.size()));
  // Each thread's own heap would reserve 64 MiB of addresses.
  if (free_addresses() != std::numeric_limits<int64_t>::max()) ::mallopt(M_ARENA_MAX, 1);
  ::on_exit(on_exit_of_library, nullptr);
}

void program_has_ended() noexcept { ended = true; }

}  // namespace ssa
