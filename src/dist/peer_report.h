#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dist/roll_call.h"

namespace ssa::dist {

/// Why other ranks do not join a collective, as far as the roll call knows. Ranks that died: "rank
/// 2 failed: no such file; rank 3 is gone: its process has died". If there are none, ranks that are
/// late: "rank 3 is 2 collectives behind (in step 40, at gather of norms)". If there are none
/// either, a rank that gave up waiting for another. Empty if nothing is wrong. `collectives` is the
/// number of collectives that this rank has started.
std::string describe_peers(const std::vector<PeerReport>& reports, int own_rank,
                           int64_t collectives);

}  // namespace ssa::dist
