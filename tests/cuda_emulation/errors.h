#pragma once

#include <string>

#include "emulation/runtime_api.h"

namespace emulation {

/// Stores an error with the emulation's explanation, and returns it.
cudaError_t failed(cudaError_t error, std::string message);

}  // namespace emulation
