#pragma once

#include "ssa/backend/backend.h"

namespace ssa {

/// Puts a wrapper in front of the backend of its device for everyone; nullptr takes it away.
void set_backend_wrapper(Backend* wrapper);

}  // namespace ssa
