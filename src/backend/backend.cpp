#include "ssa/backend/backend.h"

#include <atomic>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "backend/registry.h"

namespace ssa {

namespace {
std::atomic<Backend*> active_wrapper{nullptr};
}

void set_backend_wrapper(Backend* wrapper) { active_wrapper = wrapper; }

Backend& backend(Device device) {
  Backend* wrapper = active_wrapper.load(std::memory_order_relaxed);
  if (wrapper && wrapper->device() == device) return *wrapper;
  switch (device) {
    case Device::reference:
      return reference_backend();
    case Device::cpu:
      return cpu_backend();
    case Device::cuda:
      break;
  }
  throw ConfigError("this build has no {} backend; use --device cpu", name(device));
}

}  // namespace ssa
