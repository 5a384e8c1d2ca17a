#pragma once

#include "ssa/config/config.h"
#include "ssa/core/dtype.h"

namespace ssa {

/// The dtype of activations.
DType to_dtype(Precision precision);

}  // namespace ssa
