#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ssa/train/gradient_reducer.h"
#include "ssa/train/layer_norms.h"
#include "ssa/train/loss_scaler.h"
#include "ssa/train/model_session.h"
#include "ssa/train/optimizer.h"
#include "ssa/train/step_recorder.h"
#include "ssa/train/step_transfer.h"
#include "ssa/train/weight_average.h"

namespace ssa {

/// What a rank reports to the others at the end of a step.
struct RankStep {
  double loss_sum = 0;         ///< over the rank's loss terms
  double sum_squares = 0;      ///< of the gradients in the rank's pieces
  double stop = 0;             ///< not 0: the rank was asked to stop
  double compute_seconds = 0;  ///< from the start of the step to the end of backward
  double waited_seconds = 0;   ///< time in collectives, from the step's start to this report
};

/// The result of a step, the same on all ranks.
struct StepResult {
  double loss = 0;       ///< mean over the global batch's terms
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  bool updated = false;   ///< false: loss or gradient not finite, parameters unchanged
  bool rescaled = false;  ///< not updated because fp16 overflowed; the loss scale was lowered
  bool stop = false;      ///< some rank was asked to stop
  std::vector<RankStep> ranks;
  std::vector<LayerNorms> layers;  ///< where step() was asked for them
};

/// Trains a model step by step; knows no files. Each rank computes its share of the global batch;
/// gradients are summed over the ranks, so that all ranks make the same update.
class Stepper {
 public:
  /// `task` and `ranks` (null: one process) must outlive it. The parameters are drawn from
  /// train.seed, the same on all ranks. Throws ConfigError if the device cannot compute in
  /// train.precision.
  Stepper(const Task& task, Device device, Communicator* ranks = nullptr);

  /// Starts to copy the inputs of the next step to the device: this rank's micro-batches, with as
  /// many examples as on every other rank, and its plans.
  void send(const StepItem& item) { transfer_.send(item); }
  /// Runs forward and backward over the micro-batches that were sent, clips to train.clip_norm, and
  /// updates. `stop` is called at the end of the step and says whether this rank was asked to stop.
  /// `meanwhile` is called while the device works on the step and the host would only wait: the
  /// time to send() the next inputs. `with_norms` measures the layers too.
  StepResult step(int64_t number, const std::function<bool()>& stop = {},
                  const std::function<void()>& meanwhile = {}, bool with_norms = false);
  /// Sends the item and runs its step.
  StepResult step(int64_t number, const StepItem& item);

  ModelSession& session() { return session_; }
  const ModelSession& session() const { return session_; }
  Optimizer& optimizer() { return optimizer_; }
  /// Null without train.ema_decay.
  WeightAverage* average() { return average_ ? &*average_ : nullptr; }
  LossScaler& scaler() { return scaler_; }
  /// Without CUDA graphs from now on, or with them again.
  void launch_one_by_one(bool one_by_one) { recorder_.pause(one_by_one); }
  Communicator& ranks() { return ranks_; }

 private:
  using Inputs = std::vector<ModelInput>;
  void compute(int64_t number, const Inputs& inputs);
  std::vector<Tensor> forward_backward(int64_t number, const Inputs& inputs);
  bool is_whole_batch(const Inputs& inputs) const;
  double terms_of_all_ranks(const Inputs& inputs) const;
  double loss_sum() const;
  std::vector<RankStep> exchange(const RankStep& own);
  double gradient_norm(const std::vector<RankStep>& reports) const;

  const Task& task_;
  const Config& config_;
  std::unique_ptr<Communicator> alone_;  // where no ranks are given
  Communicator& ranks_;
  ModelSession session_;
  GradientReducer reducer_;
  Optimizer optimizer_;
  std::optional<WeightAverage> average_;
  LossScaler scaler_;
  StepTransfer transfer_;
  StepRecorder recorder_;
  std::vector<Tensor> losses_;  // of the micro-batches; read at the end, so the host waits once
};

}  // namespace ssa
