#include "ssa/core/version.h"

#include "ssa_build_version.h"  // written by CMake

namespace ssa {

std::string version() { return SSA_VERSION; }
std::string git_commit() { return SSA_GIT_COMMIT; }

}  // namespace ssa
