#pragma once

#include <string>

#include "emulation/runtime_api.h"

namespace emulation {

/// Remembers an error with what the emulation has to say of it, and returns it.
cudaError_t failed(cudaError_t error, std::string message);

}  // namespace emulation
