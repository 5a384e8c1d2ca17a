#pragma once

#include "ssa/backend/backend.h"
#include "ssa/config/config.h"

namespace ssa {

/// The activation that a config names.
Activation to_activation(ActivationKind kind);

}  // namespace ssa
