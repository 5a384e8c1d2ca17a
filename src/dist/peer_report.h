#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dist/roll_call.h"

namespace ssa::dist {

/// What keeps the other ranks from a collective, by what the roll call knows. Those that have died:
/// "rank 2 failed: no such file; rank 3 is gone: its process has died". If there are none, those
/// that do not come: "rank 3 is 2 collectives behind (in step 40, at gather of norms)". Else one
/// that gave up waiting for another. Empty if nothing is wrong with any. `collectives` is how many
/// this rank has started.
std::string describe_peers(const std::vector<PeerReport>& reports, int own_rank,
                           int64_t collectives);

}  // namespace ssa::dist
