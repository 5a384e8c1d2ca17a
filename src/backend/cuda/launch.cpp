#include "backend/cuda/launch.h"

namespace ssa::cuda {

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears the error, or the next launch would report it again
  throw Error(ExitCode::usage, fmt::format("CUDA: {} failed: {} ({})", what,
                                           cudaGetErrorString(status), cudaGetErrorName(status)));
}

cudaDeviceProp gpu_properties() {
  int device = 0;
  cudaDeviceProp gpu = {};
  check(cudaGetDevice(&device), "asking which GPU is used");
  check(cudaGetDeviceProperties(&gpu, device), "asking for the GPU's properties");
  return gpu;
}

cudaStream_t stream() {
  static const cudaStream_t instance = [] {
    cudaStream_t made = nullptr;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "making a stream");
    return made;
  }();
  return instance;
}

}  // namespace ssa::cuda
