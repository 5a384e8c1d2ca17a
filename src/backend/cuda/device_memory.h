#pragma once

#include "ssa/core/device_memory.h"

namespace ssa::cuda {

/// The memory of the GPU. Copies from the host are staged in pinned memory, so that the host goes
/// on while they wait for their turn on the stream; the first waits until a stage is free again.
DeviceMemory& memory();

}  // namespace ssa::cuda
