#include "ssa/tasks/rank_draws.h"

namespace ssa {

bool draws_depend_on_ranks(const Config& config, int64_t step) {
  if (config.ssa.kind == SsaKind::none || step >= finetune_start(config)) return false;
  return !(kGraphRegression.has(config.task) && config.ssa.scope == SsaScope::sample);
}

}  // namespace ssa
