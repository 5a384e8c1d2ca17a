// What evaluate() hands out: predictions that are known beforehand, of any number of ranks.

#include <cmath>
#include <mutex>

#include <nlohmann/json.hpp>

#include "ssa/tasks/classification_analysis.h"

#include "dist/thread_ranks.h"
#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kItems = 7, kClasses = 3;
constexpr int32_t kDense = 100;  // the "sub-model" of renorm

/// The probabilities of an item's classes under a sub-model.
std::vector<double> probabilities(int64_t item, int64_t sub_model) {
  std::vector<double> weights;
  double sum = 0;
  for (int64_t c = 0; c < kClasses; ++c) {
    weights.push_back(1.0 + static_cast<double>((item * 7 + sub_model * 3 + c * 5) % 11));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

class KnownModel : public Model {
 public:
  Variable losses(const ModelInput& /*input*/, const nn::Context& /*context*/) const override {
    throw ShapeError("this model is not trained");
  }
  Tensor predictions(const ModelInput& input) const override {
    std::vector<double> numbers;
    for (int64_t i = 0; i < input.examples; ++i) {
      for (const double p : probabilities(input.field("item").data<int32_t>()[i],
                                          input.field("sub_model").data<int32_t>()[0])) {
        numbers.push_back(std::log(p));
      }
    }
    return Tensor::from(numbers, {input.examples, kClasses}, Device::cpu);
  }
};

/// Item i has label i mod 3.
class KnownSet : public EvalSet {
 public:
  explicit KnownSet(Averaging averaging = Averaging::log_probabilities) : averaging_(averaging) {}
  int64_t items() const override { return kItems; }
  int64_t terms(int64_t /*item*/) const override { return 1; }
  int64_t total_terms() const override { return kItems; }
  Batch batch(int64_t first, int64_t count) const override {
    std::vector<int32_t> numbers;
    for (int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<int32_t>(first + i));
    Batch batch(count);
    batch.add("item", {count}, std::span<const int32_t>(numbers));
    return batch;
  }
  int64_t items_per_draw() const override { return 2; }
  Averaging averaging() const override { return averaging_; }
  std::vector<double> prediction(int64_t /*item*/,
                                 std::span<const double> predicted) const override {
    return {predicted.begin(), predicted.end()};
  }
  Score score(int64_t item, std::span<const double> prediction) const override {
    return classification_score(prediction, item % kClasses, item);
  }
  std::string prediction_line(const ItemPrediction& prediction) const override {
    return averaging_ == Averaging::values
               ? EvalSet::prediction_line(prediction)
               : classification_line(prediction, prediction.item % kClasses);
  }

 private:
  Averaging averaging_;
};

class KnownTask : public Task {
 public:
  explicit KnownTask(const Config& config) : Task(config) {}
  const TaskTraits& traits() const override { return traits_of(TaskKind::image_classification); }
  int64_t terms_per_example() const override { return 1; }
  std::unique_ptr<Model> make_model(ParameterStore& /*store*/) const override {
    return std::make_unique<KnownModel>();
  }
  std::vector<PlanSpec> plan_specs(Sources /*sources*/, Use /*use*/) const override { return {}; }
  std::vector<SourcePlan> draw(std::vector<Batch>& batches, Sources sources, Use /*use*/,
                               const RngKey& key) const override {
    const std::vector<int32_t> sub_model = {sources == Sources::all ? kDense : int32_t{key.rank}};
    for (Batch& batch : batches) {
      batch.add("sub_model", {1}, std::span<const int32_t>(sub_model));
    }
    return {};
  }
  Batch typical_batch(int64_t /*examples*/) const override { return {}; }
  std::unique_ptr<TaskData> open_data() const override { return nullptr; }
};

/// What was handed out for an item.
struct Handed {
  int64_t item = 0;
  std::vector<double> numbers;
  std::optional<Spread> spread;
};

struct Known {
  TinyRun run;
  KnownTask task{run.config()};
  KnownSet set;

  EvalResult evaluate(EvalOptions options) const {
    return ssa::evaluate(KnownModel(), task, set, options, Device::cpu);
  }
  std::vector<Handed> handed(EvalOptions options) const {
    std::vector<Handed> all;
    options.on_prediction = [&](const ItemPrediction& one) {
      all.push_back({one.item,
                     {one.numbers.begin(), one.numbers.end()},
                     one.spread ? std::optional(*one.spread) : std::nullopt});
    };
    evaluate(options);
    return all;
  }
  /// The lines that each rank would write.
  std::vector<std::string> lines(int size, const EvalOptions& options) const {
    std::vector<std::string> of_rank(static_cast<size_t>(size));
    testing::on_ranks(size, [&](Communicator& ranks) {
      EvalOptions own = options;
      own.ranks = &ranks;
      own.on_prediction = [&](const ItemPrediction& one) {
        of_rank[static_cast<size_t>(ranks.rank())] += set.prediction_line(one) + "\n";
      };
      evaluate(own);
    });
    return of_rank;
  }
};

EvalOptions ensemble_of(int64_t samples) {
  return {.mode = EvalMode::ensemble, .samples = samples};
}

double entropy(const std::vector<double>& p) {
  double sum = 0;
  for (const double one : p) sum -= one * std::log(one);
  return sum;
}

}  // namespace

TEST_CASE("renorm hands out each item's prediction once, in order") {
  const Known known;
  for (const int64_t batch_size : {1, 3, 50}) {
    const auto all = known.handed({.batch_size = batch_size});
    REQUIRE(all.size() == kItems);
    for (int64_t item = 0; item < kItems; ++item) {
      const Handed& one = all[static_cast<size_t>(item)];
      CHECK(one.item == item);
      CHECK_FALSE(one.spread);
      const auto p = probabilities(item, kDense);
      for (size_t c = 0; c < p.size(); ++c) CHECK(one.numbers[c] == std::log(p[c]));
    }
  }
}

TEST_CASE("an ensemble hands out the mean probability and the spread of its sub-models") {
  constexpr int64_t kSamples = 4;
  const Known known;
  const auto all = known.handed(ensemble_of(kSamples));
  REQUIRE(all.size() == kItems);
  for (const Handed& one : all) {
    CAPTURE(one.item);
    REQUIRE(one.spread);
    std::vector<double> mean(kClasses, 0.0), squares(kClasses, 0.0);
    double entropies = 0;
    for (int64_t r = 0; r < kSamples; ++r) {
      const auto p = probabilities(one.item, r);
      entropies += entropy(p) / kSamples;
      for (size_t c = 0; c < p.size(); ++c) mean[c] += p[c] / kSamples;
    }
    for (int64_t r = 0; r < kSamples; ++r) {
      const auto p = probabilities(one.item, r);
      for (size_t c = 0; c < p.size(); ++c) squares[c] += (p[c] - mean[c]) * (p[c] - mean[c]);
    }
    for (size_t c = 0; c < mean.size(); ++c) {
      CHECK(std::exp(one.numbers[c]) == Approx(mean[c]).epsilon(1e-12));
      CHECK(one.spread->deviations[c] ==
            Approx(std::sqrt(squares[c] / (kSamples - 1))).epsilon(1e-9));
      CHECK(one.spread->information[c] >= 0);
    }
    CHECK(mutual_information(*one.spread) == Approx(entropy(mean) - entropies).epsilon(1e-9));
    CHECK(mutual_information(*one.spread) > 1e-3);
  }
}

TEST_CASE("a single sub-model has no spread, and values have no information") {
  const Known known;
  const auto single = known.handed(ensemble_of(1)).front();
  CHECK(single.spread->deviations == std::vector<double>(kClasses, 0.0));
  CHECK(mutual_information(*single.spread) == 0);

  Known values;
  values.set = KnownSet(Averaging::values);
  const auto two = values.handed(ensemble_of(2)).front();
  CHECK(two.spread->information.empty());
  const double a = std::log(probabilities(0, 0)[0]), b = std::log(probabilities(0, 1)[0]);
  CHECK(two.numbers[0] == Approx((a + b) / 2));
  CHECK(two.spread->deviations[0] == Approx(std::abs(a - b) / std::sqrt(2.0)));
}

TEST_CASE("every rank writes the lines of a single one, byte by byte") {
  const Known known;
  for (const EvalOptions& options : {EvalOptions{.batch_size = 1}, EvalOptions{.batch_size = 2},
                                     ensemble_of(1), ensemble_of(5)}) {
    const std::string alone = known.lines(1, options).front();
    CHECK(std::count(alone.begin(), alone.end(), '\n') == kItems);
    for (const int size : {2, 3}) {
      for (const std::string& lines : known.lines(size, options)) CHECK(lines == alone);
    }
  }
}

TEST_CASE("lines are JSON, with the fields of their task") {
  Known known;
  const auto first_line = [&](const EvalOptions& options) {
    const std::string lines = known.lines(1, options).front();
    return nlohmann::ordered_json::parse(lines.substr(0, lines.find('\n')));
  };
  const auto keys = [](const nlohmann::ordered_json& line) {
    std::vector<std::string> names;
    for (const auto& [key, value] : line.items()) names.push_back(key);
    return names;
  };
  using Keys = std::vector<std::string>;
  CHECK(keys(first_line({})) == Keys{"index", "label", "log_probabilities"});
  CHECK(keys(first_line(ensemble_of(2))) ==
        Keys{"index", "label", "log_probabilities", "mutual_information"});
  CHECK(first_line({})["log_probabilities"][1].get<double>() ==
        std::log(probabilities(0, kDense)[1]));
  known.set = KnownSet(Averaging::values);
  CHECK(keys(first_line({})) == Keys{"index", "prediction"});
  CHECK(keys(first_line(ensemble_of(2))) == Keys{"index", "prediction", "spread"});
}

TEST_CASE("scores are the same whether somebody wants the predictions or not") {
  const Known known;
  for (EvalOptions options : {EvalOptions{.batch_size = 2}, ensemble_of(3)}) {
    const EvalResult without = known.evaluate(options);
    options.on_prediction = [](const ItemPrediction&) {};
    const EvalResult with = known.evaluate(options);
    CHECK(with.loss == without.loss);
    CHECK(with.metrics == without.metrics);
    CHECK(with.errors == without.errors);
    CHECK(without.metrics.size() == 2);
    CHECK(without.metrics[1] == 100);  // three classes: always among the first five
  }
}

TEST_CASE("top-1 along the ensemble's curve is that of the mean probabilities, on any ranks") {
  constexpr int64_t kSamples = 6;
  const Known known;
  std::vector<EvalResult> results(3);
  testing::on_ranks(3, [&](Communicator& ranks) {
    EvalOptions options = ensemble_of(kSamples);
    options.ranks = &ranks;
    results[static_cast<size_t>(ranks.rank())] = known.evaluate(options);
  });
  double least = 1, most = 0;
  for (int64_t r = 1; r <= kSamples; ++r) {
    double right = 0;
    for (int64_t item = 0; item < kItems; ++item) {
      std::vector<double> sum(kClasses, 0.0);
      for (int64_t s = 0; s < r; ++s) {
        for (size_t c = 0; c < sum.size(); ++c) sum[c] += probabilities(item, s)[c];
      }
      const auto best = std::max_element(sum.begin(), sum.end()) - sum.begin();
      right += best == item % kClasses ? 1 : 0;
    }
    least = std::min(least, right / kItems);
    most = std::max(most, right / kItems);
    for (const EvalResult& result : results) {
      CHECK(result.curve[static_cast<size_t>(r - 1)].metrics[0].value ==
            Approx(100 * right / kItems));
    }
  }
  CHECK(least < most);  // the curve has something to show
}

TEST_CASE("only items that count are handed out") {
  const Known known;
  EvalOptions options = ensemble_of(3);
  options.progress = [](const EvalProgress& now) { return now.done < 3; };  // items 0, 1; then 2
  const auto all = known.handed(options);
  CHECK(all.size() == 2);
}

TEST_CASE("the losses of a text's tokens add up to its loss") {
  const TinyModel tiny;
  const auto set = LanguageModelData(tiny.dataset).evaluation(tiny.config, Split::valid, 0);
  for (const EvalMode mode : {EvalMode::renorm, EvalMode::ensemble}) {
    double sum = 0;
    int64_t tokens = 0, lines = 0;
    EvalOptions options{.mode = mode, .samples = 2};
    options.on_prediction = [&](const ItemPrediction& one) {
      const auto line = nlohmann::json::parse(set->prediction_line(one));
      CHECK(line["index"] == lines++);
      CHECK(line.contains("spread") == (mode == EvalMode::ensemble));
      for (const auto& loss : line["losses"]) sum += loss.get<double>(), ++tokens;
    };
    const EvalResult result =
        evaluate(tiny.session.model(), *tiny.task, *set, options, Device::cpu);
    CHECK(lines == set->items());
    CHECK(tokens == result.terms);
    CHECK(sum / static_cast<double>(tokens) == Approx(result.loss).epsilon(1e-12));
  }
}
