#pragma once

#include <chrono>
#include <memory>

#include "ssa/dist/launch.h"

#include "dist/roll_call.h"
#include "dist/transport.h"

namespace ssa::dist {

/// Collectives over TCP by Gloo, for ranks that only environment variables connect. They find each
/// other through the roll call, which must outlive the transport, and every two of them share a
/// connection. Throws PeerError if a rank does not come within `timeout`.
///
/// Requests run to their end in start(), and sleep while they wait for other ranks.
std::unique_ptr<Transport> make_gloo_transport(const LaunchInfo& launch, RollCall& roll_call,
                                               std::chrono::duration<double> timeout);

}  // namespace ssa::dist
