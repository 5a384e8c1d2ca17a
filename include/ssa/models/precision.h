#pragma once

#include "ssa/config/config.h"
#include "ssa/core/dtype.h"

namespace ssa {

/// What activations are kept in.
DType to_dtype(Precision precision);

}  // namespace ssa
