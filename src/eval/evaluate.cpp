#include "ssa/eval/evaluate.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "ssa/models/decoder_plans.h"
#include "ssa/tasks/model_input.h"

#include "eval/ensemble_curve.h"
#include "eval/piece_batches.h"
#include "eval/predicted.h"
#include "eval/shared_work.h"

namespace ssa {

namespace {

struct Job {
  const Model& model;
  const Task& task;
  const EvalSet& set;
  const EvalOptions& options;
  Device device;
  Communicator& ranks;

  const std::vector<Metric>& metrics() const { return task.traits().metrics; }
  size_t counted_metrics() const {
    return static_cast<size_t>(std::count_if(metrics().begin(), metrics().end(),
                                             [](const Metric& m) { return !m.from_loss; }));
  }
  bool report(int64_t done, double value) const {
    return !options.progress || options.progress({done, set.total_terms(), value});
  }
  /// The items of a piece that begins at `first`: `items_per_piece`, or fewer at the end.
  int64_t count_from(int64_t first, int64_t items_per_piece) const {
    return std::min(items_per_piece, set.items() - first);
  }
  bool wants_predictions() const { return static_cast<bool>(options.on_prediction); }
  bool wants_likeliest() const { return wants_predictions() && options.likeliest; }
  /// Reads this rank's batches of `items_per_batch` items, each for `pieces_per_batch` pieces of
  /// work, ahead of time.
  PieceBatches batches(int64_t pieces, int64_t pieces_per_batch, int64_t items_per_batch) const {
    return {[this, items_per_batch](int64_t number) {
              const int64_t first = number * items_per_batch;
              return set.batch(first, count_from(first, items_per_batch));
            },
            pieces, pieces_per_batch, ranks.rank(), ranks.size()};
  }
  /// Computes the items of a batch, `first` and those behind it.
  std::vector<Predicted> predictions(int64_t first, const Batch& items, Sources sources,
                                     const RngKey& key) const;
  std::vector<Predicted> split_into_items(int64_t first, int64_t count, const Tensor& all,
                                          const LikelyClasses& likely) const;
};

std::vector<Predicted> Job::predictions(int64_t first, const Batch& items, Sources sources,
                                        const RngKey& key) const {
  std::vector<Batch> batch(1, items);
  const auto plans = to_tensors(task.draw(batch, sources, Use::evaluation, key), device);
  const ModelInput input = to_input(batch.front(), plans, model, device);
  const bool beside_ensemble = options.mode == EvalMode::ensemble && sources == Sources::all;
  if (!wants_likeliest() || beside_ensemble) {
    return split_into_items(first, items.examples(), model.predictions(input), {});
  }
  LikelyClasses likely;
  const int64_t most = options.mode == EvalMode::renorm ? 1 : LikelyMean::kMostPerTerm;
  const Tensor all = model.ranked_predictions(input, most, likely);
  return split_into_items(first, items.examples(), all, likely);
}

std::vector<Predicted> Job::split_into_items(int64_t first, int64_t count, const Tensor& all,
                                             const LikelyClasses& likely) const {
  const Tensor on_host = all.on_host();
  std::vector<double> numbers(static_cast<size_t>(on_host.numel()));
  visit_floating(on_host.dtype(), [&]<class T>(TypeTag<T>) {
    const T* from = on_host.data<T>();
    std::transform(from, from + numbers.size(), numbers.begin(),
                   [](T number) { return static_cast<double>(number); });
  });
  const size_t per_item = numbers.size() / static_cast<size_t>(count);
  std::vector<Predicted> result;
  auto next = likely.all.begin();
  for (int64_t i = 0; i < count; ++i) {
    const std::span<const double> own(numbers.data() + static_cast<size_t>(i) * per_item, per_item);
    const auto end = next + likely.per_term * set.terms(first + i);
    result.push_back({set.prediction(first + i, own), {next, end}});
    next = end;
  }
  return result;
}

// Ranks send each other scores as numbers.

void append(std::vector<double>& numbers, const Score& score) {
  numbers.push_back(score.loss);
  numbers.insert(numbers.end(), score.counted.begin(), score.counted.end());
  numbers.insert(numbers.end(), score.parts.begin(), score.parts.end());
}

Score score_in(std::span<const double> numbers, size_t counted) {
  const auto parts = numbers.begin() + 1 + static_cast<std::ptrdiff_t>(counted);
  return {numbers[0], {numbers.begin() + 1, parts}, {parts, numbers.end()}};
}

/// The final scores of all items.
void set_scores(EvalResult& result, const Job& job, ScoreMeans means) {
  result.loss = means.loss().mean();
  for (const MetricValue& metric : means.values(job.metrics())) {
    result.metrics.push_back(metric.value);
    result.errors.push_back(metric.stderr_);
  }
  result.partitions = means.partition_scores(job.metrics().front());
  result.means = std::move(means);
}

/// Scores with dense attention. A piece of work is a batch of items; its numbers are their
/// scores, each with its prediction behind it where somebody wants them.
EvalResult renorm(const Job& job) {
  EvalResult result;
  const int64_t items_per_piece = std::max<int64_t>(1, job.options.batch_size);
  const size_t counted = job.counted_metrics();
  const size_t numbers_per_score = 1 + counted + count_parts(job.set.partitions());
  int64_t scored = 0;  // items
  ScoreMeans means(counted, job.set.partitions());
  SharedWork work;
  work.items = (job.set.items() + items_per_piece - 1) / items_per_piece;
  PieceBatches batches = job.batches(work.items, 1, items_per_piece);
  work.compute = [&](int64_t piece) {
    int64_t item = piece * items_per_piece;
    std::vector<double> numbers;
    for (const Predicted& one : job.predictions(item, batches.of(piece), Sources::all, RngKey{})) {
      append(numbers, job.set.score(item++, one.numbers));
      if (job.wants_predictions()) append(numbers, one);
    }
    return numbers;
  };
  work.take = [&](std::span<const double> numbers) {
    while (!numbers.empty()) {
      const int64_t terms = job.set.terms(scored);
      means.add(score_in(numbers.first(numbers_per_score), counted), static_cast<double>(terms));
      result.terms += terms;
      numbers = numbers.subspan(numbers_per_score);
      if (job.wants_predictions()) {
        const Predicted one = take_predicted(numbers);
        const auto likeliest = likeliest_of(one.likely, one.likely.empty() ? 0 : terms);
        job.options.on_prediction({scored, one.numbers, nullptr, likeliest});
      }
      ++scored;
    }
  };
  work.go_on = [&] {
    return job.report(result.terms, means.value_of_first(job.metrics().front()));
  };
  result.complete = share_work(job.ranks, work);
  set_scores(result, job, means);
  return result;
}

CurvePoint curve_point(const Job& job, const EnsembleCurve& curve, int64_t samples) {
  const ScoreMeans& means = curve.at(samples);
  return {samples, means.loss().mean(), means.loss().standard_error(), means.values(job.metrics()),
          means.difference_of_first(curve.renorm(), job.metrics().front())};
}

std::vector<double> packed(const std::vector<Predicted>& predictions) {
  std::vector<double> numbers;
  for (const Predicted& one : predictions) append(numbers, one);
  return numbers;
}

std::vector<Predicted> unpacked(std::span<const double> numbers) {
  std::vector<Predicted> predictions;
  while (!numbers.empty()) predictions.push_back(take_predicted(numbers));
  return predictions;
}

/// Scores sub-models, and dense attention on the same items. A piece of work is one model of a draw
/// of items, the dense one first; its numbers are their predictions.
EvalResult ensemble(const Job& job) {
  EvalResult result;
  const int64_t samples = job.options.samples, models = 1 + samples;
  const int64_t items_per_piece = std::max<int64_t>(1, job.set.items_per_draw());
  EnsembleCurve curve(job.set, samples, job.counted_metrics(), job.options.on_prediction);
  int64_t scored = 0;  // items
  double value = 0;
  SharedWork work;
  work.items = (job.set.items() + items_per_piece - 1) / items_per_piece * models;
  PieceBatches batches = job.batches(work.items, models, items_per_piece);
  work.compute = [&](int64_t piece) {
    const int64_t first = piece / models * items_per_piece, model = piece % models;
    const Batch& items = batches.of(piece);
    if (model == 0) return packed(job.predictions(first, items, Sources::all, RngKey{}));
    const RngKey key{.seed = job.task.config().train.seed,
                     .purpose = RngPurpose::ensemble,
                     .step = static_cast<uint32_t>(first),
                     .rank = static_cast<uint16_t>(model - 1)};
    return packed(job.predictions(first, items, Sources::sampled, key));
  };
  const auto terms_at_hand = [&] {
    int64_t terms = 0;
    for (int64_t i = 0; i < job.count_from(scored, items_per_piece); ++i) {
      terms += job.set.terms(scored + i);
    }
    return terms;
  };
  work.take = [&](const std::vector<double>& numbers) {
    curve.add(scored, unpacked(numbers));
    if (curve.models_at_hand() > 0) return;
    result.terms += terms_at_hand();
    scored += job.count_from(scored, items_per_piece);
    value = curve.at(samples).value_of_first(job.metrics().front());
  };
  work.go_on = [&] {
    const int64_t begun = curve.models_at_hand();
    return job.report(result.terms + (begun > 0 ? terms_at_hand() * begun / models : 0), value);
  };
  result.complete = share_work(job.ranks, work);
  for (int64_t r = 1; r <= samples; ++r) result.curve.push_back(curve_point(job, curve, r));
  result.renorm = {curve.renorm().loss().mean(), curve.renorm().values(job.metrics())};
  set_scores(result, job, curve.at(samples));
  result.spread = curve.spread();
  return result;
}

}  // namespace

EvalResult evaluate(const Model& model, const Task& task, const EvalSet& set,
                    const EvalOptions& options, Device device) {
  const auto started = std::chrono::steady_clock::now();
  if (options.samples < 1 || options.samples > kMostSamples) {
    throw ConfigError("eval.samples: {} is outside 1 … {}", options.samples, kMostSamples);
  }
  const std::unique_ptr<Communicator> alone = options.ranks ? nullptr : make_single_process();
  const Job job{model, task, set, options, device, alone ? *alone : *options.ranks};
  EvalResult result = options.mode == EvalMode::renorm ? renorm(job) : ensemble(job);
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace ssa
