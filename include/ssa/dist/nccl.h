#pragma once

#include <memory>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Collectives on GPU memory by NCCL among the ranks of `host`, which must outlive it. The ranks
/// find each other and gather small host data through `host`. NCCL uses the calling thread's GPU;
/// each rank has its own. `compute_stream` (a cudaStream_t) is the stream that fills and uses the
/// buffers. A collective starts when the work queued there is done. PendingCollective::wait() makes
/// that stream wait, never the calling thread. A thread watches for timeouts and dead ranks, and
/// aborts the GPU's collectives then, so that nothing waits forever.
///
/// Throws PeerError if the ranks do not join in time, ConfigError if NCCL cannot be used (most
/// often: two ranks on one GPU) or if this build does not have it.
std::unique_ptr<Communicator> make_nccl(Communicator& host, void* compute_stream);

}  // namespace ssa
