#pragma once

#include "ssa/core/error.h"

namespace ssa::dist {

/// Exits at once, after flushing all output, without running destructors: other threads may be
/// inside a library call that does not return.
[[noreturn]] void leave_process(ExitCode code) noexcept;

}  // namespace ssa::dist
