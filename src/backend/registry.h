#pragma once

#include <memory>

#include "ssa/backend/backend.h"

namespace ssa {

/// Makes backend() return this wrapper in place of the backend of its device; nullptr ends that.
void set_backend_wrapper(Backend* wrapper);

/// Makes this the backend of Device::cuda until the program ends, in any build. Tests install the
/// emulated GPU with it.
void install_cuda_backend(std::unique_ptr<Backend> backend);

}  // namespace ssa
