#pragma once

#include <cstdint>
#include <string>

namespace ssa {

// For error messages that name the valid values next to a wrong one. Arguments are positive.

/// The divisors of `number` on either side of `wanted`: "4 or 6"; one where there is only one.
std::string nearest_divisors(int64_t number, int64_t wanted);
/// The multiples of `part` on either side of `wanted`: "3070 or 3075".
std::string nearest_multiples(int64_t part, int64_t wanted);

}  // namespace ssa
