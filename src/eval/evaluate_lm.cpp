#include "ssa/eval/evaluate_lm.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include "ssa/data/eval_windows.h"
#include "ssa/models/decoder_plans.h"

namespace ssa {

namespace {

/// Losses of all positions of a batch on the host, 0 where nothing is scored.
std::vector<float> batch_losses(const DecoderLm& model, const LmBatch& batch,
                                const std::vector<PlanTensors>& plans) {
  const NoGrad guard;
  const DecoderLm::Input input{batch.sequences, batch.length, model.tokens(batch.inputs), &plans};
  const Tensor losses =
      model.losses(input, model.tokens(batch.targets), nn::Context{}).value().on_host();
  const float* values = losses.data<float>();
  return std::vector<float>(values, values + losses.numel());
}

/// Sums over windows, for a mean over tokens and its standard error: tokens of one window are not
/// independent, windows nearly are.
class WindowMean {
 public:
  void add(double loss_sum, double tokens) { windows_.push_back({loss_sum, tokens}); }
  double mean() const {
    double loss = 0, count = 0;
    for (const auto& [sum, tokens] : windows_) {
      loss += sum;
      count += tokens;
    }
    return count > 0 ? loss / count : 0.0;
  }
  double standard_error() const {
    const auto n = static_cast<double>(windows_.size());
    if (windows_.size() < 2) return 0.0;
    const double centre = mean();
    double count = 0, squares = 0;
    for (const auto& [sum, tokens] : windows_) {
      count += tokens;
      squares += (sum - centre * tokens) * (sum - centre * tokens);
    }
    return std::sqrt(squares * n / (n - 1)) / count;
  }

 private:
  std::vector<std::pair<double, double>> windows_;
};

double log_add(double a, double b) {
  const double high = std::max(a, b);
  if (!std::isfinite(high)) return high;
  return high + std::log(std::exp(a - high) + std::exp(b - high));
}

/// Log-probabilities of one window's tokens, averaged over samples as they arrive.
class TokenEnsemble {
 public:
  explicit TokenEnsemble(const LmBatch& window) : targets_(window.targets) {
    log_sum_.assign(targets_.size(), -std::numeric_limits<double>::infinity());
  }
  /// Adds one sub-model's losses; returns the sum over tokens of its own losses.
  double add(const std::vector<float>& losses) {
    ++samples_;
    double own = 0;
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i] == kNoTarget) continue;
      own += losses[i];
      log_sum_[i] = log_add(log_sum_[i], -static_cast<double>(losses[i]));
    }
    return own;
  }
  /// Sum over tokens of the negative log of the mean probability so far.
  double loss_sum() const {
    double total = 0;
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i] != kNoTarget) {
        total += std::log(static_cast<double>(samples_)) - log_sum_[i];
      }
    }
    return total;
  }

 private:
  const std::vector<int32_t>& targets_;
  std::vector<double> log_sum_;
  int64_t samples_ = 0;
};

int64_t scored_tokens(const std::vector<EvalWindow>& windows, size_t first, size_t count) {
  int64_t total = 0;
  for (size_t i = first; i < first + count; ++i) {
    total += windows[i].score_to - windows[i].score_from;
  }
  return total;
}

struct Job {
  const DecoderLm& model;
  const Config& config;
  const TokenDataset& dataset;
  Split split;
  const EvalOptions& options;
  Device device;
  int64_t length;
  std::vector<EvalWindow> windows;
  int64_t total_tokens;

  bool report(int64_t done, double loss) const {
    return !options.progress || options.progress({done, total_tokens, loss});
  }
};

EvalResult renorm(const Job& job) {
  EvalResult result;
  const auto plans = to_tensors(
      draw_plans(dense_plan_specs(job.config.model.layers, job.length), RngKey{}), job.device);
  double loss = 0;
  for (size_t first = 0; first < job.windows.size() && result.complete;) {
    const size_t count =
        std::min(job.windows.size() - first,
                 static_cast<size_t>(std::max<int64_t>(1, job.options.batch_size)));
    const LmBatch batch =
        window_batch(job.dataset, job.split, job.windows, static_cast<int64_t>(first),
                     static_cast<int64_t>(count), job.length);
    for (const float value : batch_losses(job.model, batch, plans)) loss += value;
    result.tokens += scored_tokens(job.windows, first, count);
    result.loss = result.tokens ? loss / static_cast<double>(result.tokens) : 0.0;
    first += count;
    result.complete = job.report(result.tokens, result.loss);
  }
  return result;
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

/// Loss sums of one window, for each sample.
struct WindowCurve {
  std::vector<double> single;    // of this sub-model alone
  std::vector<double> ensemble;  // of the first 1, 2, … together
};

/// Scores window `w` of an ensemble; nothing if `go_on(samples done)` said false in the middle.
std::optional<WindowCurve> ensemble_window(const Job& job, const std::vector<PlanSpec>& specs,
                                           size_t w, const std::function<bool(size_t)>& go_on) {
  const LmBatch batch =
      window_batch(job.dataset, job.split, job.windows, static_cast<int64_t>(w), 1, job.length);
  const auto samples = static_cast<size_t>(job.options.samples);
  TokenEnsemble tokens(batch);
  WindowCurve curve;
  for (size_t r = 0; r < samples; ++r) {
    if (r > 0 && !go_on(r)) return std::nullopt;
    const RngKey key{.seed = job.config.train.seed,
                     .purpose = RngPurpose::ensemble,
                     .step = static_cast<uint32_t>(w),
                     .rank = static_cast<uint16_t>(r)};
    const auto plans = to_tensors(draw_plans(specs, key), job.device);
    curve.single.push_back(tokens.add(batch_losses(job.model, batch, plans)));
    curve.ensemble.push_back(tokens.loss_sum());
  }
  return curve;
}

EvalResult ensemble(const Job& job) {
  EvalResult result;
  const auto specs = decoder_plan_specs(job.config.ssa, job.config.model.layers, job.length);
  const auto samples = static_cast<size_t>(job.options.samples);
  std::vector<WindowMean> curve(samples);
  std::vector<double> single(samples, 0.0);  // loss sums of each sub-model alone
  for (size_t w = 0; w < job.windows.size() && result.complete; ++w) {
    const int64_t tokens = scored_tokens(job.windows, w, 1);
    const auto window = ensemble_window(job, specs, w, [&](size_t done) {
      const int64_t part = tokens * static_cast<int64_t>(done) / job.options.samples;
      return job.report(result.tokens + part, result.loss);
    });
    if (!window) {
      result.complete = false;
      break;
    }
    for (size_t r = 0; r < samples; ++r) {
      single[r] += window->single[r];
      curve[r].add(window->ensemble[r], static_cast<double>(tokens));
    }
    result.tokens += tokens;
    result.loss = curve.back().mean();
    result.complete = job.report(result.tokens, result.loss);
  }
  for (double& sum : single) sum /= static_cast<double>(std::max<int64_t>(1, result.tokens));
  for (size_t r = 0; r < samples; ++r) {
    result.curve.push_back(
        {static_cast<int64_t>(r) + 1, curve[r].mean(), curve[r].standard_error()});
  }
  result.spread = standard_deviation(single);
  return result;
}

}  // namespace

EvalResult evaluate_lm(const DecoderLm& model, const Config& config, const TokenDataset& dataset,
                       Split split, const EvalOptions& options, Device device) {
  const auto started = std::chrono::steady_clock::now();
  if (options.mode == EvalMode::ensemble && (options.samples < 1 || options.samples > 65536)) {
    throw ConfigError("eval.samples: {} is outside 1 … 65536", options.samples);
  }
  const int64_t length = config.eval.length > 0 ? config.eval.length : config.data.length;
  int64_t tokens = dataset.split_size(split);
  if (options.max_tokens > 0) tokens = std::min(tokens, options.max_tokens);
  Job job{model,   config, dataset, split,
          options, device, length,  sliding_windows(tokens, length, config.eval.overlap),
          tokens};
  EvalResult result = options.mode == EvalMode::renorm ? renorm(job) : ensemble(job);
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace ssa
