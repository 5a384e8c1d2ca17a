#pragma once

#include <memory>

#include "ssa/backend/backend.h"

namespace ssa {

/// Puts a wrapper in front of the backend of its device for everyone; nullptr takes it away.
void set_backend_wrapper(Backend* wrapper);

/// Makes this the backend of Device::cuda, whether the build has one or not: for tests of kernels
/// on an emulated GPU. It stays until the program ends.
void install_cuda_backend(std::unique_ptr<Backend> backend);

}  // namespace ssa
