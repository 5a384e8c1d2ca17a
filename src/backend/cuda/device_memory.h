#pragma once

#include "ssa/core/device_memory.h"

namespace ssa::cuda {

/// The GPU's memory. Copies from the host go through pinned staging buffers, so that the host
/// continues while they are queued on the stream. A copy waits only if all staging buffers are in
/// use.
DeviceMemory& memory();

}  // namespace ssa::cuda
