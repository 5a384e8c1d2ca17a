#pragma once

#include <string>
#include <vector>

#include "ssa/data/prepare.h"

namespace ssa {

/// One file to read, and which of its members to take.
struct PrepareInput {
  std::string path;
  std::string only_member;  ///< empty: all
};

/// Checks the options and settles which files and members are read; tells `note` of each choice.
std::vector<PrepareInput> settle_inputs(const PrepareOptions& options);

}  // namespace ssa
