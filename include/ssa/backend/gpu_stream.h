#pragma once

namespace ssa {

/// The CUDA stream (a cudaStream_t) that all work of Device::cuda is queued on, for libraries that
/// queue their own work between: NCCL. Throws ConfigError if Device::cuda cannot be used.
void* gpu_stream();

}  // namespace ssa
