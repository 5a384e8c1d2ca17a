#include "ssa/core/philox.h"

#include "core/normal_quantile.h"

namespace ssa {

double normal_from_word(uint32_t word) { return normal_quantile::of_word(word); }

}  // namespace ssa
