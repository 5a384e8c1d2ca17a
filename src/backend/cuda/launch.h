#pragma once

#include <string_view>
#include <utility>

#include <cuda_runtime.h>

#include "ssa/core/error.h"

namespace ssa::cuda {

/// Throws Error with `what`, the operation, and CUDA's error text, unless `status` is success.
void check(cudaError_t status, std::string_view what);

/// Properties of this thread's GPU.
cudaDeviceProp gpu_properties();

/// The stream that all work of this process is ordered on.
cudaStream_t stream();

/// kernel<<<grid, block, shared_bytes, stream()>>>(args...), checked. Arguments convert to the
/// kernel's parameter types.
template <class... Parameters, class... Arguments>
void launch(std::string_view what, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments&&... args) {
  constexpr size_t kOptIn = size_t{48} << 10;  // larger sizes need the attribute below
  if (shared_bytes > kOptIn) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          what);
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream();
  check(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(args))...), what);
}

}  // namespace ssa::cuda
