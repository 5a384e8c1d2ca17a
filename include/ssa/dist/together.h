#pragma once

#include <functional>
#include <string>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Calls `own` on every rank and waits for all of them. If it throws on some ranks, every rank
/// throws the error of the lowest one: its exit code and message, with "rank N: " in front on other
/// ranks. So all ranks end in the same way if, say, only rank 3 sees a full disk. `what` names the
/// collective in messages of the communicator.
void together(Communicator& ranks, const std::string& what, const std::function<void()>& own);

}  // namespace ssa
