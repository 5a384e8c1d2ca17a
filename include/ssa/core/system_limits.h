#pragma once

#include <cstdint>
#include <string>

// What the system lets this process use. `root` is put before /proc and /sys, for tests.

namespace ssa {

/// Bytes of memory that this process may use: the machine's memory, or less if a control group (of
/// a container, of a scheduler's job) limits it. Processes of one machine share them.
int64_t usable_memory(const std::string& root = "");

/// The part of it that is free now. What the system can give back (files in memory, swap) counts.
int64_t free_memory(const std::string& root = "");

/// Bytes of addresses that this process can still get under its limit (`ulimit -v`); the largest
/// int64_t if there is none.
int64_t free_addresses();

/// Processors that this process may use, at least 1: those that it may run on (`taskset`), or fewer
/// if a control group has a quota of processor time, which is rounded up.
int64_t usable_processors(const std::string& root = "");

}  // namespace ssa
