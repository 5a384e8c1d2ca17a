#pragma once

#include <memory>

#include "dist/transport.h"

namespace ssa::dist {

/// A transport over MPI, one per process. It initializes MPI, and finalizes it in shut_down().
/// Waits for all ranks. Throws ConfigError if MPI has been initialized before or allows no threads.
std::unique_ptr<Transport> make_mpi_transport();

}  // namespace ssa::dist
