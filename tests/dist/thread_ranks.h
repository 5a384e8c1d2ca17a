#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ssa/dist/communicator.h"

namespace ssa::testing {

/// Communicators of ranks that are threads of this process: the interface's meaning in a page, for
/// tests of what stands on it. Sums are taken in rank order, in f64.
std::vector<std::unique_ptr<Communicator>> thread_ranks(int size);

/// Calls body(communicator) on `size` threads, a rank each, and waits for all of them. What a rank
/// throws is announced to the others; the first rank's error is rethrown.
void on_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace ssa::testing
