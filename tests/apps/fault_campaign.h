#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// Attacks on whole programs that can strike at any of many places: at each file call, at each
// allocation, at any moment. A build's tests try a sample that is drawn anew every day; everything
// is tried by scripts/fault_campaign.sh, which sets these variables:
//
//   SSA_FAULT_SEED=n     draws the sample (default: today's date, such as 20261129)
//   SSA_FAULT_TRIES=n    tries of each attack, or `all` (default: what the test case says)
//   SSA_FAULT_ONLY=text  makes only the attacks that have this in their description
//   SSA_FAULT_TABLE=file a line is added there for each attack: what, tries, survived

namespace ssa::testing {

/// What one try has come to: empty if the promise was kept, otherwise what went wrong.
using Damage = std::string;

/// Attacks at some of the places 1..places, and checks that each try did no damage. `tries`: how
/// many unless SSA_FAULT_TRIES says otherwise. Returns the number of tries.
int64_t attack_at_places(const std::string& attack, int64_t places, int64_t tries,
                         const std::function<Damage(int64_t place)>& try_place);

}  // namespace ssa::testing
