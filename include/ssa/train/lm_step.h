#pragma once

#include <vector>

#include "ssa/data/lm_batch.h"
#include "ssa/sampling/source_plan.h"
#include "ssa/train/lm_session.h"
#include "ssa/train/loss_scaler.h"
#include "ssa/train/optimizer.h"

namespace ssa {

/// What one step showed.
struct StepResult {
  double loss = 0;       ///< mean over the batch's tokens, nats
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  bool updated = false;   ///< false: loss or gradient not finite, parameters left alone
  bool rescaled = false;  ///< not updated, but the loss scale was lowered: not a sign of divergence
};

/// One training step of a language model, knowing no files: forward and backward over the
/// micro-batches of train.micro_batch sequences (which must be resolved, not `auto`), clipping to
/// train.clip_norm, update. All micro-batches share the step's plans.
StepResult lm_train_step(const Config& config, LmSession& session, Optimizer& optimizer,
                         LossScaler& scaler, int64_t step, const LmBatch& batch,
                         const std::vector<SourcePlan>& plans);

/// The plans of a step: drawn as ssa.* says until +FT begins, dense from then on.
std::vector<SourcePlan> plans_of_step(const Config& config, int64_t step);

}  // namespace ssa
