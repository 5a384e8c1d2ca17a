#include "ssa/train/stepper.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>

#include "ssa/core/trace_range.h"
#include "ssa/ops/packed_weights.h"
#include "ssa/train/schedule.h"

namespace ssa {

Stepper::Stepper(const Task& task, Device device, Communicator* ranks)
    : task_(task),
      config_(task.config()),
      alone_(ranks ? nullptr : make_single_process()),
      ranks_(ranks ? *ranks : *alone_),
      session_(task, device),
      reducer_(session_.parameters(), ranks_, config_.distributed),
      optimizer_(config_.train.optimizer, session_.parameters(), reducer_.pieces()),
      scaler_(config_.train.precision),
      transfer_(session_.model(), device),
      // With several ranks the host starts collectives during the backward pass: no capture.
      recorder_(device, device == Device::cuda && config_.train.cuda_graphs && ranks_.size() == 1 &&
                            session_.model().has_fixed_shapes()) {
  if (config_.train.ema_decay > 0) {
    average_.emplace(config_.train.ema_decay, session_.parameters());
  }
}

/// Sets the losses, and the gradients times the loss scale, summed over the micro-batches.
void Stepper::compute(int64_t number, const Inputs& inputs) {
  std::vector<double> kind = transfer_.identity();
  kind.push_back(scaler_.scale());
  losses_.clear();
  losses_ = recorder_.run(static_cast<uint32_t>(number), kind, [&, records = recorder_.enabled()] {
    // A captured step must pack the weights even if the packed copies are up to date now, because
    // replays follow updates. After a failed capture this runs again: what the capture recorded was
    // never computed.
    if (records) session_.parameters().mark_written();
    // Replays write the gradients where the captured step did. Otherwise backward makes them in the
    // memory of activations that it has freed.
    if (records) {
      session_.parameters().zero_grad();
    } else {
      session_.parameters().release_grad();
    }
    return forward_backward(number, inputs);
  });
}

std::vector<Tensor> Stepper::forward_backward(int64_t number, const Inputs& inputs) {
  const Device device = session_.device();
  const auto micro_batches = static_cast<int64_t>(inputs.size());
  const int64_t before = ranks_.rank() * micro_batches;  // the micro-batches of lower ranks
  const double weight = 1.0 / terms_of_all_ranks(inputs);
  // Then forward uses each packed weight once, and backward its transpose: nothing to keep.
  std::optional<ops::PackForOneUse> pack_for_one_use;
  if (is_whole_batch(inputs)) pack_for_one_use.emplace();
  std::vector<Tensor> all_losses;
  for (int64_t m = 0; m < micro_batches; ++m) {
    const nn::Context context{true, RngKey{.seed = config_.train.seed,
                                           .step = static_cast<uint32_t>(number),
                                           .stream = static_cast<uint32_t>(before + m)}};
    const Variable losses = [&] {
      const TraceRange range("forward", m);
      return session_.model().losses(inputs[static_cast<size_t>(m)], context);
    }();
    all_losses.push_back(losses.value());
    Tensor grad = Tensor::empty_like(losses.value());
    backend(device).fill(grad, weight * scaler_.scale());
    if (m + 1 == micro_batches) reducer_.begin_last_backward();
    const TraceRange range("backward", m);
    losses.backward(grad);
  }
  return all_losses;
}

/// Whether this rank's share of train.batch_size is one micro-batch.
bool Stepper::is_whole_batch(const Inputs& inputs) const {
  return inputs.size() == 1 && inputs.front().examples >= config_.train.batch_size / ranks_.size();
}

/// Loss terms of the global batch. All ranks have the same number.
double Stepper::terms_of_all_ranks(const Inputs& inputs) const {
  int64_t examples = 0;
  for (const ModelInput& input : inputs) examples += input.examples;
  return static_cast<double>(ranks_.size() * examples * task_.terms_per_example());
}

/// The sum of this rank's losses. Waits for the device.
double Stepper::loss_sum() const {
  const TraceRange range("wait for losses");
  double sum = 0;
  for (const Tensor& losses : losses_) sum += backend(session_.device()).sum(losses);
  return sum;
}

std::vector<RankStep> Stepper::exchange(const RankStep& own) {
  using Fields = std::array<double, sizeof(RankStep) / sizeof(double)>;
  const Fields fields = std::bit_cast<Fields>(own);
  const std::vector<double> all = ranks_.gather(fields, "the step's reports");
  std::vector<RankStep> reports;
  for (size_t first = 0; first < all.size(); first += fields.size()) {
    Fields of_rank = {};
    std::copy_n(all.begin() + static_cast<int64_t>(first), fields.size(), of_rank.begin());
    reports.push_back(std::bit_cast<RankStep>(of_rank));
  }
  return reports;
}

/// The norm of the whole gradient. With a sharded optimizer the ranks' squares add up; otherwise
/// every rank has the whole sum.
double Stepper::gradient_norm(const std::vector<RankStep>& reports) const {
  double squares = reports.front().sum_squares;
  if (config_.distributed.shard_optimizer) {
    for (size_t rank = 1; rank < reports.size(); ++rank) squares += reports[rank].sum_squares;
  }
  return std::sqrt(squares) / scaler_.scale();
}

StepResult Stepper::step(int64_t number, const StepItem& item) {
  send(item);
  return step(number);
}

StepResult Stepper::step(int64_t number, const std::function<bool()>& stop,
                         const std::function<void()>& meanwhile, bool with_norms) {
  using Clock = std::chrono::steady_clock;
  const TraceRange range("step", number);
  const auto started = Clock::now();
  const double waited_before = ranks_.stats().waited_seconds;
  ranks_.set_step(number);
  StepResult result;
  result.learning_rate = learning_rate(config_.train, number);
  const Inputs& inputs = transfer_.receive();
  compute(number, inputs);
  if (meanwhile) meanwhile();

  RankStep own;
  own.loss_sum = loss_sum();
  own.compute_seconds = std::chrono::duration<double>(Clock::now() - started).count();
  {
    const TraceRange reducing("wait for sums of gradients");
    reducer_.finish();
  }
  own.sum_squares = optimizer_.sum_squares();
  if (with_norms) {
    result.layers =
        layer_norms(optimizer_, ranks_, config_.distributed.shard_optimizer, scaler_.scale());
  }
  own.stop = stop && stop() ? 1 : 0;
  own.waited_seconds = ranks_.stats().waited_seconds - waited_before;
  result.ranks = exchange(own);

  double loss_sum = 0;
  for (const RankStep& report : result.ranks) {
    loss_sum += report.loss_sum;
    result.stop |= report.stop != 0;
  }
  result.loss = loss_sum * (1.0 / terms_of_all_ranks(inputs));
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
  if (average_) average_->update();
  result.updated = true;
  return result;
}

}  // namespace ssa
