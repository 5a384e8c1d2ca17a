#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssa/dist/communicator.h"

namespace ssa {

/// What a rank is about to do, by names that its user knows: ("train.optimizer.lr", "0.001").
using Statements = std::vector<std::pair<std::string, std::string>>;

/// A path as ranks state it. They may have other working directories, where a relative path names
/// another folder, or where "../run" and "run" name the same. An empty path stays empty.
std::string stated_path(const std::string& path);

/// Ranks in ascending order, as text: "rank 3", "ranks 0, 2-63".
std::string list_of_ranks(const std::vector<size_t>& ranks);

/// Compares the statements of all ranks; all of them call this. If any differ, every rank throws
/// the same ConfigError, which names each key that differs, its values, and the ranks that have
/// them. Ranks that differ would compute something that no config describes, or wait for each other
/// until time is up.
void require_agreement(Communicator& ranks, const Statements& own);

}  // namespace ssa
