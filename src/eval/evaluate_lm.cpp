#include "ssa/eval/evaluate_lm.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>

#include "ssa/data/eval_windows.h"
#include "ssa/models/decoder_plans.h"

#include "eval/ensemble_curve.h"
#include "eval/shared_work.h"

namespace ssa {

namespace {

struct Job {
  const DecoderLm& model;
  const Config& config;
  const TokenDataset& dataset;
  Split split;
  const EvalOptions& options;
  Device device;
  Communicator& ranks;
  int64_t length;
  std::vector<EvalWindow> windows;
  int64_t total_tokens;

  int64_t window_count() const { return static_cast<int64_t>(windows.size()); }
  int64_t scored_tokens(int64_t window) const {
    const EvalWindow& one = windows[static_cast<size_t>(window)];
    return one.score_to - one.score_from;
  }
  bool report(int64_t done, double loss) const {
    return !options.progress || options.progress({done, total_tokens, loss});
  }
  std::vector<std::vector<double>> losses(int64_t first, int64_t count,
                                          const std::vector<PlanTensors>& plans) const;
};

/// Of `count` windows from `first` on, scored as one batch: the losses of each one's tokens.
std::vector<std::vector<double>> Job::losses(int64_t first, int64_t count,
                                             const std::vector<PlanTensors>& plans) const {
  const NoGrad guard;
  const LmBatch batch = window_batch(dataset, split, windows, first, count, length);
  const DecoderLm::Input input{batch.sequences, batch.length, model.tokens(batch.inputs), &plans};
  const Tensor all =
      model.losses(input, model.tokens(batch.targets), nn::Context{}).value().on_host();
  const float* row = all.data<float>();  // (N), 0 where nothing is scored
  std::vector<std::vector<double>> result;
  for (int64_t w = first; w < first + count; ++w, row += length) {
    const auto& [start, score_from, score_to] = windows[static_cast<size_t>(w)];
    result.emplace_back(row + (score_from - start), row + (score_to - start));
  }
  return result;
}

/// Dense attention. An item is a batch of windows, its numbers the sums of their losses.
EvalResult renorm(const Job& job) {
  EvalResult result;
  const auto plans = to_tensors(
      draw_plans(dense_plan_specs(job.config.model.layers, job.length), RngKey{}), job.device);
  const int64_t windows = job.window_count(),
                at_a_time = std::max<int64_t>(1, job.options.batch_size);
  int64_t scored = 0;  // windows
  double loss = 0;
  SharedWork work;
  work.items = (windows + at_a_time - 1) / at_a_time;
  work.compute = [&](int64_t item) {
    const int64_t first = item * at_a_time, count = std::min(at_a_time, windows - first);
    std::vector<double> sums;
    for (const std::vector<double>& window : job.losses(first, count, plans)) {
      sums.push_back(std::accumulate(window.begin(), window.end(), 0.0));
    }
    return sums;
  };
  work.take = [&](const std::vector<double>& sums) {
    for (const double sum : sums) {
      loss += sum;
      result.tokens += job.scored_tokens(scored++);
    }
    result.loss = loss / static_cast<double>(result.tokens);
  };
  work.go_on = [&] { return job.report(result.tokens, result.loss); };
  result.complete = share_work(job.ranks, work);
  return result;
}

/// Sub-models. An item is one sample of one window, its numbers the losses of the window's tokens.
EvalResult ensemble(const Job& job) {
  EvalResult result;
  const auto specs = decoder_plan_specs(job.config.ssa, job.config.model.layers, job.length);
  const int64_t samples = job.options.samples;
  EnsembleCurve curve(samples);
  int64_t scored = 0;  // windows
  SharedWork work;
  work.items = job.window_count() * samples;
  work.compute = [&](int64_t item) {
    const int64_t window = item / samples;
    const RngKey key{.seed = job.config.train.seed,
                     .purpose = RngPurpose::ensemble,
                     .step = static_cast<uint32_t>(window),
                     .rank = static_cast<uint16_t>(item % samples)};
    return job.losses(window, 1, to_tensors(draw_plans(specs, key), job.device)).front();
  };
  work.take = [&](const std::vector<double>& losses) {
    curve.add(losses);
    if (curve.samples_at_hand() > 0) return;
    result.tokens += job.scored_tokens(scored++);
    result.loss = curve.loss(samples);
  };
  work.go_on = [&] {
    const int64_t begun = curve.samples_at_hand();
    const int64_t part = begun > 0 ? job.scored_tokens(scored) * begun / samples : 0;
    return job.report(result.tokens + part, result.loss);
  };
  result.complete = share_work(job.ranks, work);
  for (int64_t r = 1; r <= samples; ++r) {
    result.curve.push_back({r, curve.loss(r), curve.standard_error(r)});
  }
  result.spread = curve.spread();
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
  const std::unique_ptr<Communicator> alone = options.ranks ? nullptr : make_single_process();
  const Job job{model,
                config,
                dataset,
                split,
                options,
                device,
                alone ? *alone : *options.ranks,
                length,
                sliding_windows(tokens, length, config.eval.overlap),
                tokens};
  EvalResult result = options.mode == EvalMode::renorm ? renorm(job) : ensemble(job);
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace ssa
