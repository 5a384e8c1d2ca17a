#pragma once

#include <memory>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Collectives on GPU memory by NCCL among the ranks of `host` (which must outlive it), through
/// which they find each other and which carries the small things of the host. It
/// uses the calling thread's GPU; each rank has its own. `compute_stream` (a cudaStream_t) is the
/// stream that fills and uses the buffers. A collective starts when the work queued there is done.
/// PendingCollective::wait() makes that stream wait, never the calling thread. A watching thread
/// looks for timeouts and dead ranks, and aborts what runs on the GPU, so that nothing waits for
/// ever.
///
/// Throws PeerError if the ranks do not come together in time, ConfigError if NCCL cannot be used
/// (most often: two ranks on one GPU) or this build lacks it.
std::unique_ptr<Communicator> make_nccl(Communicator& host, void* compute_stream);

}  // namespace ssa
