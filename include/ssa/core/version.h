#pragma once

#include <string>

namespace ssa {

/// Semantic version of this build, such as "0.1.0".
std::string version();
/// Abbreviated git commit that was built, "+" behind it if the tree had changes; "unknown" when
/// built outside a checkout.
std::string git_commit();

}  // namespace ssa
