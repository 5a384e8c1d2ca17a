#include "ssa/eval/coverage.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "ssa/eval/score_means.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/ops/attention_observer.h"
#include "ssa/tasks/model_input.h"

#include "eval/reading.h"
#include "eval/shared_work.h"

namespace ssa {

namespace {

/// The strongest sources of each target in a layer: up to `strongest` of each, one after the other.
struct StrongSources {
  int64_t positions = 0, strongest = 0;
  std::vector<int32_t> sources;  // (positions, strongest); -1: there are fewer
};

/// The weights of one example, averaged over heads: (N, N).
std::vector<double> mean_over_heads(const Tensor& weights) {
  const Tensor on_host = weights.on_host();
  const int64_t heads = on_host.dim(1), pairs = on_host.numel() / heads;
  std::vector<double> mean(static_cast<size_t>(pairs), 0.0);
  visit_floating(on_host.dtype(), [&]<class T>(TypeTag<T>) {
    const T* weight = on_host.data<T>();
    for (int64_t h = 0; h < heads; ++h) {
      for (double& one : mean) one += static_cast<double>(*weight++) / static_cast<double>(heads);
    }
  });
  return mean;
}

StrongSources strongest_of(const Tensor& weights, int64_t strongest) {
  SSA_CHECK(weights.dim(0) == 1 && weights.dim(2) == 1 && weights.dim(3) == weights.dim(4),
            "coverage: attention weights {} are not those of one dense window",
            to_string(weights.shape()));
  const std::vector<double> mean = mean_over_heads(weights);
  StrongSources strong{weights.dim(3), std::min(strongest, weights.dim(3)), {}};
  std::vector<int32_t> order(static_cast<size_t>(strong.positions));
  for (int64_t target = 0; target < strong.positions; ++target) {
    const double* row = mean.data() + target * strong.positions;
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(
        order.begin(), order.begin() + strong.strongest, order.end(),
        [row](int32_t a, int32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    for (int64_t k = 0; k < strong.strongest; ++k) {
      const int32_t source = order[static_cast<size_t>(k)];
      strong.sources.push_back(row[source] > 0 ? source : -1);  // causality masks the others
    }
  }
  return strong;
}

struct Count {
  int64_t covered = 0, all = 0;
};

/// Which of a layer's strong connections a plan has sampled.
void count_covered(const StrongSources& strong, const SourcePlan& plan, Count& count) {
  std::vector<char> sampled(static_cast<size_t>(strong.positions));
  for (int64_t w = 0; w < plan.windows; ++w) {
    std::fill(sampled.begin(), sampled.end(), 0);
    const int32_t* sources = plan.sources.data() + w * plan.sources_per_window;
    for (int64_t s = 0; s < plan.sources_per_window; ++s) {
      sampled[static_cast<size_t>(sources[s])] = 1;
    }
    const int32_t* targets = plan.targets.data() + w * plan.targets_per_window;
    for (int64_t t = 0; t < plan.targets_per_window; ++t) {
      for (int64_t k = 0; k < strong.strongest; ++k) {
        const int32_t source =
            strong.sources[static_cast<size_t>(targets[t] * strong.strongest + k)];
        if (source < 0) continue;
        ++count.all;
        count.covered += sampled[static_cast<size_t>(source)];
      }
    }
  }
}

/// A model on one window after the other.
class Study {
 public:
  Study(const Model& model, const Task& task, const EvalSet& set, const CoverageOptions& options,
        Device device)
      : model_(model), task_(task), set_(set), options_(options), device_(device) {
    const std::vector<PlanSpec> specs = task.plan_specs(Sources::sampled, Use::evaluation);
    for (size_t layer = 0; layer < specs.size(); ++layer) {
      if (samples_sources(specs[layer])) layers_.push_back(layer);
    }
    if (layers_.empty()) {
      throw ConfigError(
          "--coverage: no layer samples its sources, so that all sub-models are the same. Give "
          "--set ssa.kind=local, or unbiased");
    }
  }

  /// The renorm loss of a window, then coverage and loss of each sub-model.
  std::vector<double> numbers(int64_t item) const {
    std::vector<StrongSources> strong;  // of every layer
    std::vector<double> numbers;
    {
      const ops::AttentionObserver observer([&](const Tensor& weights) {
        strong.push_back(strongest_of(weights, options_.strongest));
      });
      numbers.push_back(loss(item, Sources::all, {}).first);
    }
    SSA_CHECK(strong.size() > layers_.back(), "coverage: {} layers have shown their weights",
              strong.size());
    for (int64_t r = 0; r < options_.samples; ++r) {
      const RngKey key{.seed = task_.config().train.seed,
                       .purpose = RngPurpose::ensemble,
                       .step = static_cast<uint32_t>(item),
                       .rank = static_cast<uint16_t>(r)};
      const auto [mean_loss, plans] = loss(item, Sources::sampled, key);
      Count count;
      for (const size_t layer : layers_) count_covered(strong[layer], plans[layer], count);
      numbers.push_back(static_cast<double>(count.covered) / static_cast<double>(count.all));
      numbers.push_back(mean_loss);
    }
    return numbers;
  }

 private:
  /// The mean loss over a window's tokens, and the plans that it was computed with.
  std::pair<double, std::vector<SourcePlan>> loss(int64_t item, Sources sources,
                                                  const RngKey& key) const {
    std::vector<Batch> batch = {set_.batch(item, 1)};
    std::vector<SourcePlan> plans = task_.draw(batch, sources, Use::evaluation, key);
    const ModelInput input = to_input(batch.front(), to_tensors(plans, device_), model_, device_);
    const std::vector<double> predicted =
        finite_scores(model_.predictions(input), fmt::format("window {}", item));
    const Score score = set_.score(item, set_.prediction(item, predicted));
    return {score.loss / static_cast<double>(set_.terms(item)), std::move(plans)};
  }

  const Model& model_;
  const Task& task_;
  const EvalSet& set_;
  const CoverageOptions& options_;
  Device device_;
  std::vector<size_t> layers_;  // that sample
};

Correlation over_windows(const ItemMean& of_windows, int64_t windows) {
  if (windows == 0) return {};
  return {of_windows.mean(), of_windows.standard_error()};
}

}  // namespace

CoverageResult measure_coverage(const Model& model, const Task& task, const EvalSet& set,
                                const CoverageOptions& options, Device device) {
  const Study study(model, task, set, options, device);
  const std::unique_ptr<Communicator> alone = options.ranks ? nullptr : make_single_process();
  CoverageResult result;
  ItemMean coverages, pearsons, spearmans;
  int64_t item = 0;
  SharedWork work;
  work.items = set.items();
  work.compute = [&](int64_t window) { return study.numbers(window); };
  work.take = [&](const std::vector<double>& numbers) {
    std::vector<double> coverage, loss;
    for (int64_t r = 0; r < options.samples; ++r) {
      coverage.push_back(numbers[static_cast<size_t>(1 + 2 * r)]);
      loss.push_back(numbers[static_cast<size_t>(2 + 2 * r)]);
      coverages.add(coverage.back(), 1);
      if (options.on_window) {
        options.on_window({item, r, loss.back(), numbers.front(), coverage.back()});
      }
    }
    ++item;
    const double within = pearson(coverage, loss);
    if (std::isnan(within)) return;
    pearsons.add(within, 1);
    spearmans.add(spearman(coverage, loss), 1);
    ++result.windows;
  };
  work.go_on = [&] { return !options.progress || options.progress(item); };
  result.complete = share_work(alone ? *alone : *options.ranks, work);
  result.coverage = coverages.mean();
  result.pearson = over_windows(pearsons, result.windows);
  result.spearman = over_windows(spearmans, result.windows);
  return result;
}

}  // namespace ssa
