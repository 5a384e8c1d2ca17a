#include "ssa/backend/backend.h"

#include <atomic>
#include <mutex>

#include "ssa/backend/choose_gpu.h"
#include "ssa/backend/gpu_stream.h"

#include "backend/counting/counting_backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "backend/registry.h"

#ifdef SSA_WITH_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace ssa {

namespace {

std::atomic<Backend*> active_wrapper{nullptr};

std::mutex cuda_mutex;
// Never destroyed: CUDA may be gone by the time static objects are.
std::atomic<Backend*> cuda_instance{nullptr};
std::atomic<int> chosen_gpu{0};

std::unique_ptr<Backend> make_built_cuda_backend() {
#ifdef SSA_WITH_CUDA
  return make_cuda_backend(chosen_gpu);
#else
  throw ConfigError("--device cuda: this build has no CUDA backend; use --device cpu");
#endif
}

Backend& cuda_backend() {
  if (Backend* made = cuda_instance.load(std::memory_order_acquire)) return *made;
  const std::lock_guard lock(cuda_mutex);
  if (!cuda_instance.load()) cuda_instance.store(make_built_cuda_backend().release());
  return *cuda_instance.load();
}

}  // namespace

void choose_gpu(int index) { chosen_gpu = index; }

void* gpu_stream() {
  cuda_backend();
#ifdef SSA_WITH_CUDA
  return cuda_stream();
#else
  throw ConfigError("an emulated GPU has no stream for other libraries");
#endif
}

void install_cuda_backend(std::unique_ptr<Backend> backend) {
  const std::lock_guard lock(cuda_mutex);
  cuda_instance.store(backend.release());
}

std::vector<Device> built_devices() {
  std::vector<Device> devices = {Device::reference, Device::cpu};
#ifdef SSA_WITH_CUDA
  devices.push_back(Device::cuda);
#endif
  return devices;
}

bool is_usable(Device device) {
  try {
    backend(device);
    return true;
  } catch (const ConfigError&) {
    return false;
  }
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
      return cuda_backend();
    case Device::counting:
      return counting_backend();
  }
  throw ConfigError("there is no backend for device {}", name(device));
}

}  // namespace ssa
