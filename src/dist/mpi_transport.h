#pragma once

#include <memory>

#include "dist/transport.h"

namespace ssa::dist {

/// Over MPI, which it initializes, and finalizes in shut_down(): one a process. Waits until all
/// ranks have come. Throws ConfigError if MPI has been initialized before or allows no threads.
std::unique_ptr<Transport> make_mpi_transport();

}  // namespace ssa::dist
