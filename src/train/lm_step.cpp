#include "ssa/train/lm_step.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>

#include "ssa/core/trace_range.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/train/schedule.h"

namespace ssa {

LmStepper::LmStepper(const Config& config, Device device, Communicator* ranks)
    : config_(config),
      alone_(ranks ? nullptr : make_single_process()),
      ranks_(ranks ? *ranks : *alone_),
      session_(config, device),
      reducer_(session_.parameters(), ranks_, config.distributed),
      optimizer_(config.train.optimizer, session_.parameters(), reducer_.pieces()),
      scaler_(config.train.precision) {}

/// Adds every micro-batch's share, times the loss scale, to the gradients; returns the sum of this
/// rank's losses.
double LmStepper::forward_backward(int64_t number, const LmBatch& batch,
                                   const std::vector<PlanTensors>& plans) {
  const Device device = session_.device();
  const int64_t micro = config_.train.micro_batch, length = batch.length;
  SSA_CHECK(micro > 0 && batch.sequences % micro == 0,
            "train step: {} sequences do not divide into micro-batches of {}", batch.sequences,
            micro);
  const Tensor ids = session_.model().tokens(batch.inputs);
  const Tensor targets = session_.model().tokens(batch.targets);
  const int64_t before = ranks_.rank() * batch.sequences;  // sequences of lower ranks
  const double weight = 1.0 / static_cast<double>(ranks_.size() * batch.sequences * length);
  std::vector<Tensor> all_losses;  // read at the end: the host waits for a device once
  for (int64_t first = 0; first < batch.sequences; first += micro) {
    const nn::Context context{true,
                              RngKey{.seed = config_.train.seed,
                                     .step = static_cast<uint32_t>(number),
                                     .stream = static_cast<uint32_t>((before + first) / micro)}};
    const auto part = [&](const Tensor& all) {
      return all.slice(0, first * length, micro * length);
    };
    const Variable losses = [&] {
      const TraceRange range("forward", first / micro);
      return session_.model().losses({micro, length, part(ids), &plans}, part(targets), context);
    }();
    all_losses.push_back(losses.value());
    Tensor grad = Tensor::empty_like(losses.value());
    backend(device).fill(grad, weight * scaler_.scale());
    if (first + micro == batch.sequences) reducer_.begin_last_backward();
    const TraceRange range("backward", first / micro);
    losses.backward(grad);
  }
  const TraceRange range("wait for losses");
  double loss_sum = 0;
  for (const Tensor& losses : all_losses) loss_sum += backend(device).sum(losses);
  return loss_sum;
}

std::vector<RankReport> LmStepper::exchange(const RankReport& own) {
  using Fields = std::array<double, sizeof(RankReport) / sizeof(double)>;
  const Fields fields = std::bit_cast<Fields>(own);
  const std::vector<double> all = ranks_.gather(fields, "the step's reports");
  std::vector<RankReport> reports;
  for (size_t first = 0; first < all.size(); first += fields.size()) {
    Fields of_rank = {};
    std::copy_n(all.begin() + static_cast<int64_t>(first), fields.size(), of_rank.begin());
    reports.push_back(std::bit_cast<RankReport>(of_rank));
  }
  return reports;
}

/// Of the whole gradient. Where each rank updates a share, the shares' squares add up; else every
/// rank has them all.
double LmStepper::gradient_norm(const std::vector<RankReport>& reports) const {
  double squares = reports.front().sum_squares;
  if (config_.distributed.shard_optimizer) {
    for (size_t rank = 1; rank < reports.size(); ++rank) squares += reports[rank].sum_squares;
  }
  return std::sqrt(squares) / scaler_.scale();
}

StepResult LmStepper::step(int64_t number, const LmBatch& batch,
                           const std::vector<SourcePlan>& plans,
                           const std::function<bool()>& stop) {
  using Clock = std::chrono::steady_clock;
  const TraceRange range("step", number);
  const auto started = Clock::now();
  const double waited_before = ranks_.stats().waited_seconds;
  ranks_.set_step(number);
  StepResult result;
  result.learning_rate = learning_rate(config_.train, number);
  session_.parameters().zero_grad();

  RankReport own;
  own.loss_sum = forward_backward(number, batch, to_tensors(plans, session_.device()));
  own.compute_seconds = std::chrono::duration<double>(Clock::now() - started).count();
  {
    const TraceRange reducing("wait for sums of gradients");
    reducer_.finish();
  }
  own.sum_squares = optimizer_.sum_squares();
  own.stop = stop && stop() ? 1 : 0;
  own.waited_seconds = ranks_.stats().waited_seconds - waited_before;
  result.ranks = exchange(own);

  double loss_sum = 0;
  for (const RankReport& report : result.ranks) {
    loss_sum += report.loss_sum;
    result.stop |= report.stop != 0;
  }
  const double tokens = static_cast<double>(ranks_.size() * batch.sequences * batch.length);
  result.loss = loss_sum * (1.0 / tokens);
  result.grad_norm = gradient_norm(result.ranks);
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    result.rescaled = std::isfinite(result.loss) && scaler_.overflowed();
    return result;
  }
  const double loss_scale = scaler_.scale();
  scaler_.succeeded();
  const TraceRange updating("optimizer");
  const double limit = config_.train.clip_norm;
  const double scale = limit > 0 ? std::min(1.0, limit / (result.grad_norm + 1e-6)) : 1.0;
  optimizer_.step(result.learning_rate, scale / loss_scale);
  reducer_.share_parameters();
  result.updated = true;
  return result;
}

std::vector<SourcePlan> plans_of_step(const Config& config, int64_t step, int rank) {
  const int64_t layers = config.model.layers, length = config.data.length;
  const auto specs = step < finetune_start(config) ? decoder_plan_specs(config.ssa, layers, length)
                                                   : dense_plan_specs(layers, length);
  return draw_plans(specs, RngKey{.seed = config.train.seed,
                                  .purpose = RngPurpose::plan,
                                  .step = static_cast<uint32_t>(step),
                                  .rank = static_cast<uint16_t>(rank)});
}

}  // namespace ssa
