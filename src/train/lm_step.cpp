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
      scaler_(config.train.precision),
      inputs_(session_.model(), device),
      // Collectives are started by the host in the midst of backward; and what an adaptive
      // embedding computes depends on the tokens.
      recorder_(device, config.train.cuda_graphs && ranks_.size() == 1 &&
                            session_.model().token_device() == device) {}

void LmStepper::send(const LmBatch& batch, const std::vector<SourcePlan>& plans) {
  const int64_t micro = config_.train.micro_batch;
  SSA_CHECK(micro > 0 && batch.sequences % micro == 0,
            "train step: {} sequences do not divide into micro-batches of {}", batch.sequences,
            micro);
  inputs_.send(batch, plans);
}

/// Leaves the losses, and adds every micro-batch's share, times the loss scale, to the gradients.
void LmStepper::compute(int64_t number, const StepTensors& inputs) {
  std::vector<double> kind(inputs_.shapes().begin(), inputs_.shapes().end());
  kind.push_back(scaler_.scale());
  kind.push_back(static_cast<double>(config_.train.micro_batch));
  recorder_.run(static_cast<uint32_t>(number), kind, [&, records = recorder_.enabled()] {
    // What is recorded must contain the copies that are made of weights, even if they are up to
    // date just now; and what is done after a recording that failed must, as those were not made.
    if (records) session_.parameters().mark_written();
    session_.parameters().zero_grad();
    forward_backward(number, inputs);
  });
}

void LmStepper::forward_backward(int64_t number, const StepTensors& inputs) {
  const Device device = session_.device();
  const int64_t micro = config_.train.micro_batch, length = inputs.length;
  const int64_t before = ranks_.rank() * inputs.sequences;  // sequences of lower ranks
  const double weight = 1.0 / static_cast<double>(ranks_.size() * inputs.sequences * length);
  losses_.clear();
  for (int64_t first = 0; first < inputs.sequences; first += micro) {
    const nn::Context context{true,
                              RngKey{.seed = config_.train.seed,
                                     .step = static_cast<uint32_t>(number),
                                     .stream = static_cast<uint32_t>((before + first) / micro)}};
    const auto part = [&](const Tensor& all) {
      return all.slice(0, first * length, micro * length);
    };
    const Variable losses = [&] {
      const TraceRange range("forward", first / micro);
      return session_.model().losses({micro, length, part(inputs.ids), &inputs.plans},
                                     part(inputs.targets), context);
    }();
    losses_.push_back(losses.value());
    Tensor grad = Tensor::empty_like(losses.value());
    backend(device).fill(grad, weight * scaler_.scale());
    if (first + micro == inputs.sequences) reducer_.begin_last_backward();
    const TraceRange range("backward", first / micro);
    losses.backward(grad);
  }
}

/// Of this rank's tokens. Waits for the device.
double LmStepper::loss_sum() const {
  const TraceRange range("wait for losses");
  double sum = 0;
  for (const Tensor& losses : losses_) sum += backend(session_.device()).sum(losses);
  return sum;
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
                           const std::vector<SourcePlan>& plans) {
  send(batch, plans);
  return step(number);
}

StepResult LmStepper::step(int64_t number, const std::function<bool()>& stop,
                           const std::function<void()>& meanwhile) {
  using Clock = std::chrono::steady_clock;
  const TraceRange range("step", number);
  const auto started = Clock::now();
  const double waited_before = ranks_.stats().waited_seconds;
  ranks_.set_step(number);
  StepResult result;
  result.learning_rate = learning_rate(config_.train, number);
  const StepTensors& inputs = inputs_.receive();
  const double tokens = static_cast<double>(ranks_.size() * inputs.sequences * inputs.length);
  compute(number, inputs);
  if (meanwhile) meanwhile();

  RankReport own;
  own.loss_sum = loss_sum();
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
