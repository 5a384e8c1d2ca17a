#pragma once

// Work that is recorded as a CUDA graph and queued again as a whole. A graph repeats everything,
// the arguments of its kernels included. What has to differ from step to step is in the device's
// memory: the tensors that work reads, and here the step that random numbers are drawn for.

#include <string_view>

#include "ssa/core/philox.h"

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// A key as kernels take it.
struct StepKey {
  RngKey key;
  const uint32_t* shift;  ///< what to add to key.step: not 0 where recorded work runs again
  __device__ RngKey now() const {
    RngKey shifted = key;
    shifted.step += __ldg(shift);
    return shifted;
  }
};
StepKey step_key(const RngKey& key);

/// Throws Error naming what cannot be recorded, if work is being recorded.
void require_not_recording(std::string_view what);

}  // namespace ssa::cuda
