#pragma once

// Work that is captured as a CUDA graph and replayed. A graph repeats everything, including the
// arguments of its kernels. So what differs from step to step must be in device memory: the tensors
// that kernels read, and the step that random numbers are drawn for, which is kept here.

#include <string_view>

#include "ssa/core/philox.h"

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// A key as kernels take it.
struct StepKey {
  RngKey key;
  const uint32_t* shift;  ///< what to add to key.step: not 0 when captured work is replayed
  __device__ RngKey now() const {
    RngKey shifted = key;
    shifted.step += __ldg(shift);
    return shifted;
  }
};
StepKey step_key(const RngKey& key);

/// Throws Error, naming `what`, if work is being captured.
void require_not_recording(std::string_view what);

}  // namespace ssa::cuda
