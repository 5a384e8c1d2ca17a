#pragma once

#include "ssa/dist/communicator.h"

namespace ssa::testing {

/// Every collective against values worked out by each rank alone. Throws ConfigError where one is
/// wrong.
void check_collectives(Communicator& ranks);
void check_gather(Communicator& ranks);

/// Prints, on rank 0, the time of an all_reduce from 4 KiB to 64 MiB, the best of several.
void measure_bandwidth(Communicator& ranks);
/// Prints, on rank 0, how long it computes alone, and how long while buckets are reduced; best of
/// several.
void measure_overlap(Communicator& ranks);

}  // namespace ssa::testing
