#pragma once

// Tells AddressSanitizer and ThreadSanitizer about stack switches. Does nothing without a
// sanitizer.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulation {

/// One side of switches: a fiber, or the thread that schedules fibers.
class SwitchState {
 public:
#if defined(__SANITIZE_ADDRESS__)
  /// For fibers, once.
  void create(void* stack_bottom, size_t stack_bytes) {
    bottom_ = stack_bottom;
    bytes_ = stack_bytes;
  }
  /// Before the switch from this side to `other`.
  void leave(const SwitchState& other) {
    __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.bytes_);
  }
  /// On this side, after the switch from `other`.
  void arrive(SwitchState& other) {
    __sanitizer_finish_switch_fiber(fake_stack_, &other.bottom_, &other.bytes_);
  }

 private:
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
#elif defined(__SANITIZE_THREAD__)
  void create(void*, size_t) { fiber_ = __tsan_create_fiber(0); }
  void leave(const SwitchState& other) {
    fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(other.fiber_, 0);
  }
  void arrive(SwitchState&) {}

 private:
  void* fiber_ = nullptr;
#else
  void create(void*, size_t) {}
  void leave(const SwitchState&) {}
  void arrive(SwitchState&) {}
#endif
};

}  // namespace emulation
