#include "ssa/train/lm_step.h"

#include <algorithm>
#include <cmath>

#include "ssa/models/decoder_plans.h"
#include "ssa/train/schedule.h"

namespace ssa {

namespace {

/// Adds every micro-batch's share, times the loss scale, to the gradients; returns the mean loss.
double forward_backward(const Config& config, const LmSession& session, double loss_scale,
                        int64_t step, const LmBatch& batch, const std::vector<PlanTensors>& plans) {
  const Device device = session.device();
  const int64_t micro = config.train.micro_batch, length = batch.length;
  SSA_CHECK(micro > 0 && batch.sequences % micro == 0,
            "train step: {} sequences do not divide into micro-batches of {}", batch.sequences,
            micro);
  const Tensor ids = session.model().tokens(batch.inputs);
  const Tensor targets = session.model().tokens(batch.targets);
  const double weight = 1.0 / static_cast<double>(batch.sequences * length);
  std::vector<Tensor> all_losses;  // read at the end: the host waits for a device once
  for (int64_t first = 0; first < batch.sequences; first += micro) {
    const nn::Context context{true, RngKey{.seed = config.train.seed,
                                           .step = static_cast<uint32_t>(step),
                                           .stream = static_cast<uint32_t>(first / micro)}};
    const auto part = [&](const Tensor& all) {
      return all.slice(0, first * length, micro * length);
    };
    const Variable losses =
        session.model().losses({micro, length, part(ids), &plans}, part(targets), context);
    all_losses.push_back(losses.value());
    Tensor grad = Tensor::empty_like(losses.value());
    backend(device).fill(grad, weight * loss_scale);
    losses.backward(grad);
  }
  double loss_sum = 0;
  for (const Tensor& losses : all_losses) loss_sum += backend(device).sum(losses);
  return loss_sum * weight;
}

}  // namespace

StepResult lm_train_step(const Config& config, LmSession& session, Optimizer& optimizer,
                         LossScaler& scaler, int64_t step, const LmBatch& batch,
                         const std::vector<SourcePlan>& plans) {
  StepResult result;
  result.learning_rate = learning_rate(config.train, step);
  session.parameters().zero_grad();
  const double loss_scale = scaler.scale();
  result.loss = forward_backward(config, session, loss_scale, step, batch,
                                 to_tensors(plans, session.device()));
  result.grad_norm = optimizer.gradient_norm() / loss_scale;
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    result.rescaled = std::isfinite(result.loss) && scaler.overflowed();
    return result;
  }
  scaler.succeeded();

  const double limit = config.train.clip_norm;
  const double scale = limit > 0 ? std::min(1.0, limit / (result.grad_norm + 1e-6)) : 1.0;
  optimizer.step(result.learning_rate, scale / loss_scale);
  result.updated = true;
  return result;
}

std::vector<SourcePlan> plans_of_step(const Config& config, int64_t step) {
  const int64_t layers = config.model.layers, length = config.data.length;
  const auto specs = step < finetune_start(config) ? decoder_plan_specs(config.ssa, layers, length)
                                                   : dense_plan_specs(layers, length);
  return draw_plans(specs, RngKey{.seed = config.train.seed,
                                  .purpose = RngPurpose::plan,
                                  .step = static_cast<uint32_t>(step)});
}

}  // namespace ssa
