// Chooses the GPU, checks that it can be used, and describes the backend.

#include "backend/cuda/cuda_backend.h"

#include <fmt/format.h>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/matmul.h"

namespace ssa {

namespace {

constexpr int kOldestArchitecture = 80;  // the first with bf16 products and cp.async

int architecture(const cudaDeviceProp& gpu) { return 10 * gpu.major + gpu.minor; }

/// "13.0" from CUDA's 13000.
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// The number of visible GPUs. Throws ConfigError if there is none.
int require_gpus() {
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver && driver > 0) {
    throw ConfigError(
        "--device cuda: the NVIDIA driver knows CUDA {}, this build needs {}: update the driver, "
        "or use --device cpu",
        version_text(driver), version_text(runtime));
  }
  if (status == cudaErrorNoDevice || driver == 0 || (status == cudaSuccess && count == 0)) {
    throw ConfigError("--device cuda: no GPU: {}; use --device cpu",
                      driver == 0
                          ? "there is no NVIDIA driver"
                          : "the NVIDIA driver sees none (nvidia-smi, CUDA_VISIBLE_DEVICES)");
  }
  if (status != cudaSuccess) {
    throw ConfigError("--device cuda: CUDA cannot start: {} ({}); use --device cpu",
                      cudaGetErrorString(status), cudaGetErrorName(status));
  }
  return count;
}

/// Makes this thread use GPU number `index`. If only one GPU is visible, all ranks share it.
void use_gpu(int index) {
  const int count = require_gpus();
  if (count == 1) index = 0;
  if (index >= count) {
    throw ConfigError(
        "--device cuda: this machine's rank {} (from 0) has no GPU of its own, {} are visible: "
        "start as many ranks per machine as it has GPUs",
        index, count);
  }
  cuda::check(cudaSetDevice(index), "choosing the GPU");
}

}  // namespace

CudaBackend::CudaBackend(int index) {
  use_gpu(index);
  const cudaDeviceProp gpu = cuda::gpu_properties();
  if (architecture(gpu) < kOldestArchitecture) {
    throw ConfigError(
        "--device cuda: {} is an sm_{}; this program needs sm_{} (A100) or newer; use --device cpu",
        gpu.name, architecture(gpu), kOldestArchitecture);
  }
  cuda::stream();
  install_device_memory(Device::cuda, cuda::memory());
}

std::string CudaBackend::description() const {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaDeviceProp gpu = cuda::gpu_properties();
  return fmt::format("cuda ({}, sm_{}, {} multiprocessors, {:.1f} GiB; CUDA {}, driver for {}; {})",
                     gpu.name, architecture(gpu), gpu.multiProcessorCount,
                     static_cast<double>(gpu.totalGlobalMem) / 0x1p30, version_text(runtime),
                     version_text(driver), cuda::multiplier());
}

std::unique_ptr<Backend> make_cuda_backend(int gpu) { return std::make_unique<CudaBackend>(gpu); }

void* cuda_stream() { return cuda::stream(); }

}  // namespace ssa
