#pragma once

#include <functional>
#include <string>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Calls `own` on every rank and waits for all of them. If it throws on some, every rank throws the
/// lowest such rank's error: its exit code and message, with "rank N: " in front of one that is not
/// this rank's own. So that, say, a full disk that rank 3 sees ends all ranks alike. `what` is for
/// messages of the communicator.
void together(Communicator& ranks, const std::string& what, const std::function<void()>& own);

}  // namespace ssa
