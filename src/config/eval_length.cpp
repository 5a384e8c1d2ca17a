#include "ssa/config/eval_length.h"

namespace ssa {

EvalLength eval_length(const Config& config) {
  if (config.eval.length > 0) return {config.eval.length, "eval.length"};
  return {config.data.length, "data.length"};
}

}  // namespace ssa
