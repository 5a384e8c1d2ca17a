#pragma once

#include "ssa/core/error.h"

namespace ssa::dist {

/// Ends this process at once, all output flushed and nothing destroyed: other threads may be inside
/// a library that does not return.
[[noreturn]] void leave_process(ExitCode code) noexcept;

}  // namespace ssa::dist
