#include "ssa/eval/coverage.h"

#include <cmath>

#include "ssa/ops/attention_observer.h"

#include "dist/thread_ranks.h"
#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const Overrides kStored = {"model.attention=materialized"};

std::vector<CoveredWindow> study(const TinyModel& tiny, CoverageOptions options,
                                 CoverageResult* result = nullptr) {
  std::vector<CoveredWindow> all;
  options.on_window = [&](const CoveredWindow& one) { all.push_back(one); };
  const auto set = LanguageModelData(tiny.dataset).evaluation(tiny.config, Split::valid, 0);
  const CoverageResult found =
      measure_coverage(tiny.session.model(), *tiny.task, *set, options, Device::cpu);
  if (result) *result = found;
  return all;
}

}  // namespace

TEST_CASE("correlations by hand") {
  CHECK(pearson({1, 2, 3}, {2, 4, 6}) == Approx(1));
  CHECK(pearson({1, 2, 3}, {1, -1, -3}) == Approx(-1));
  CHECK(pearson({0, 1, 2, 3}, {1, 0, 3, 2}) == Approx(0.6));
  CHECK(spearman({1, 2, 3}, {1, 10, 1000}) == Approx(1));
  // Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3.
  CHECK(spearman({1, 2, 2, 5}, {1, 2, 3, 4}) == Approx(4.5 / std::sqrt(4.5 * 5)));
  CHECK(std::isnan(pearson({1, 1, 1}, {1, 2, 3})));
}

TEST_CASE("stored attention weights are handed out layer by layer") {
  const TinyModel tiny(kStored);
  const std::vector<int32_t> text = tiny.text(Split::valid);
  std::vector<Shape> shapes;
  {
    const ops::AttentionObserver observer([&](const Tensor& weights) {
      shapes.push_back(weights.shape());
      const float* row = weights.data<float>();
      for (int64_t i = 0; i < 2 * 32; ++i, row += 32) {
        double sum = 0;
        for (int64_t s = 0; s < 32; ++s) {
          sum += static_cast<double>(row[s]);
          if (s > i % 32) CHECK(row[s] == 0);
        }
        CHECK(sum == Approx(1).epsilon(1e-5));
      }
    });
    tiny.log_probabilities({text.begin(), text.begin() + 32}, {text.begin() + 1, text.begin() + 33},
                           draw_plans(dense_plan_specs(2, 32), {}));
  }
  CHECK(shapes == std::vector<Shape>(2, Shape{1, 2, 1, 32, 32}));
  tiny.log_probabilities({text.begin(), text.begin() + 32}, {text.begin() + 1, text.begin() + 33},
                         draw_plans(dense_plan_specs(2, 32), {}));
  CHECK(shapes.size() == 2);  // nobody observes any more
}

TEST_CASE("with all connections, coverage is the part of the causal pairs that is sampled") {
  const TinyModel tiny(kStored);
  CoverageResult result;
  const auto all = study(tiny, {.strongest = 32, .samples = 4}, &result);
  REQUIRE(all.size() == 6 * 4);
  double mean = 0;
  for (const CoveredWindow& one : all) {
    CAPTURE(one.item, one.sample);
    const RngKey key{.seed = tiny.config.train.seed,
                     .purpose = RngPurpose::ensemble,
                     .step = static_cast<uint32_t>(one.item),
                     .rank = static_cast<uint16_t>(one.sample)};
    double pairs = 0;
    for (const SourcePlan& plan : draw_plans(decoder_plan_specs(tiny.config.ssa, 2, 32), key)) {
      for (int64_t w = 0; w < plan.windows; ++w) {
        for (int64_t t = 0; t < plan.targets_per_window; ++t) {
          for (int64_t s = 0; s < plan.sources_per_window; ++s) {
            const auto target = plan.targets[size_t(w * plan.targets_per_window + t)];
            pairs += plan.sources[size_t(w * plan.sources_per_window + s)] <= target ? 1 : 0;
          }
        }
      }
    }
    CHECK(one.coverage == Approx(pairs / (2 * 32 * 33 / 2)));
    mean += one.coverage / static_cast<double>(all.size());
  }
  CHECK(result.coverage == Approx(mean));
  CHECK(result.windows == 6);
  // The losses are those of the evaluation.
  const EvalResult ensemble = tiny.evaluate({.mode = EvalMode::ensemble, .samples = 1});
  double loss = 0, renorm = 0;
  const auto set = LanguageModelData(tiny.dataset).evaluation(tiny.config, Split::valid, 0);
  for (const CoveredWindow& one : all) {
    if (one.sample != 0) continue;
    loss += one.loss * static_cast<double>(set->terms(one.item)) / 100;
    renorm += one.renorm_loss * static_cast<double>(set->terms(one.item)) / 100;
  }
  CHECK(loss == Approx(ensemble.loss).epsilon(1e-9));
  CHECK(renorm == Approx(ensemble.renorm.loss).epsilon(1e-9));
}

TEST_CASE("the correlation is the mean over windows, with its standard error") {
  const TinyModel tiny(kStored);
  CoverageResult result;
  const auto all = study(tiny, {.strongest = 3, .samples = 5}, &result);
  std::vector<double> of_window;
  for (size_t w = 0; w < 6; ++w) {
    std::vector<double> coverage, loss;
    for (size_t r = 0; r < 5; ++r) {
      coverage.push_back(all[w * 5 + r].coverage);
      loss.push_back(all[w * 5 + r].loss);
    }
    of_window.push_back(pearson(coverage, loss));
  }
  double mean = 0, squares = 0;
  for (const double one : of_window) mean += one / 6;
  for (const double one : of_window) squares += (one - mean) * (one - mean);
  CHECK(result.pearson.value == Approx(mean));
  CHECK(result.pearson.stderr_ == Approx(std::sqrt(squares / 5 / 6)));
  CHECK(result.spearman.value >= -1);
  CHECK(result.spearman.value <= 1);
}

TEST_CASE("coverage is the same on any ranks, and refused where nothing is sampled") {
  const auto key_of = [](const std::vector<CoveredWindow>& all) {
    std::vector<double> numbers;
    for (const CoveredWindow& one : all) {
      numbers.insert(numbers.end(), {double(one.item), double(one.sample), one.loss,
                                     one.renorm_loss, one.coverage});
    }
    return numbers;
  };
  std::vector<std::unique_ptr<TinyModel>> models;
  for (int rank = 0; rank < 3; ++rank) models.push_back(std::make_unique<TinyModel>(kStored));
  const auto alone = key_of(study(*models.front(), {.samples = 2}));
  std::vector<std::vector<double>> of_rank(3);
  testing::on_ranks(3, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    const auto rank = static_cast<size_t>(ranks.rank());
    of_rank[rank] = key_of(study(*models[rank], {.samples = 2, .ranks = &ranks}));
  });
  for (const auto& one : of_rank) CHECK(one == alone);
  const TinyModel dense(kStored + Overrides{"ssa.kind=none"});
  CHECK(contains(message_of<ConfigError>([&] { study(dense, {}); }), "no layer samples"));
}
