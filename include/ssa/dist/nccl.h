#pragma once

#include <memory>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Collectives on GPU memory by NCCL among the ranks of `host` (which must outlive it), through
/// which they find each other and which carries the small things of the host. Of the calling
/// thread's GPU, one a rank. `compute_stream` (a cudaStream_t) is where buffers are filled and
/// used: a collective starts when the work queued there has been done, PendingCollective::wait()
/// makes it wait, and the calling thread never does. A watching thread sees to timeouts and to
/// ranks that are gone: it aborts what runs on the GPU, so that nothing waits for it for ever.
///
/// Throws PeerError if the ranks do not come together in time, ConfigError if NCCL cannot be used
/// (one GPU for two ranks, above all) or this build is without it.
std::unique_ptr<Communicator> make_nccl(Communicator& host, void* compute_stream);

}  // namespace ssa
