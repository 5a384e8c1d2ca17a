// The likeliest class of each term: of one model, and of the mean of sub-models.

#include <cmath>

#include "ssa/data/eval_windows.h"

#include "dist/thread_ranks.h"
#include "eval/predicted.h"
#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The likeliest bytes that an evaluation hands out, window by window.
std::vector<LikeliestClass> handed_out(const TinyModel& tiny, EvalOptions options) {
  std::vector<LikeliestClass> all;
  const auto set = LanguageModelData(tiny.dataset).evaluation(tiny.config, Split::valid, 48);
  options.likeliest = true;
  options.on_prediction = [&](const ItemPrediction& one) {
    all.insert(all.end(), one.likeliest.begin(), one.likeliest.end());
  };
  evaluate(tiny.session.model(), *tiny.task, *set, options, Device::cpu);
  return all;
}

/// Probabilities of all bytes after each input, (N, 256).
std::vector<double> distributions(const TinyModel& tiny, const std::vector<int32_t>& inputs,
                                  const std::vector<SourcePlan>& plans) {
  const NoGrad guard;
  const auto length = static_cast<int64_t>(inputs.size());
  const std::vector<PlanTensors> tensors = to_tensors(plans, Device::cpu);
  const Tensor ids = Tensor::from(inputs, {length}, Device::cpu);
  const Variable scores = tiny.decoder().logits({1, length, ids, &tensors}, nn::Context{});
  std::vector<double> all;
  for (int64_t row = 0; row < length; ++row) {
    const float* logits = scores.value().data<float>() + row * 256;
    double total = 0;
    for (int v = 0; v < 256; ++v) total += std::exp(static_cast<double>(logits[v]));
    for (int v = 0; v < 256; ++v) all.push_back(std::exp(static_cast<double>(logits[v])) / total);
  }
  return all;
}

bool same(const std::vector<LikeliestClass>& a, const std::vector<LikeliestClass>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].number != b[i].number || a[i].probability != b[i].probability ||
        a[i].deviation != b[i].deviation) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("the mean over sub-models names what is likeliest on average, not most often") {
  LikelyMean mean(2);
  const std::vector<LikelyClass> first = {{1, 0.6F}, {4, 0.3F}, {2, 0.5F}, {3, 0.25F}};
  const std::vector<LikelyClass> second = {{4, 0.5F}, {9, 0.25F}, {0, 0.25F}, {2, 0.75F}};
  mean.add(first);
  mean.add(second);
  const auto likeliest = mean.likeliest();
  REQUIRE(likeliest.size() == 2);
  CHECK(likeliest[0].number == 4);  // 1 has 0.6 and nothing
  CHECK(likeliest[0].probability == Approx(0.4));
  CHECK(likeliest[0].deviation == Approx(0.2 / std::sqrt(2.0)).epsilon(1e-6));
  CHECK(likeliest[1].number == 2);
  CHECK(likeliest[1].probability == Approx(0.625));
  CHECK(LikelyMean(3).likeliest().empty());
}

TEST_CASE("what ranks send each other comes back as it was") {
  std::vector<double> message;
  append(message, Predicted{{-1.5, -2.5}, {{7, 0.25F}, {8, 0.5F}}});
  append(message, Predicted{{-3}, {}});
  std::span<const double> rest(message);
  const Predicted first = take_predicted(rest), second = take_predicted(rest);
  CHECK(rest.empty());
  CHECK(first.numbers == std::vector<double>{-1.5, -2.5});
  REQUIRE(first.likely.size() == 2);
  CHECK(first.likely[1].number == 8);
  CHECK(first.likely[1].probability == 0.5F);
  CHECK(second.numbers == std::vector<double>{-3});
  CHECK(second.likely.empty());
}

TEST_CASE("the likeliest byte of renorm and of an ensemble against plain loops") {
  const TinyModel tiny;
  constexpr int64_t kSamples = 3;
  const std::vector<int32_t> text = tiny.text(Split::valid);
  const std::vector<int32_t> inputs(text.begin(), text.begin() + 32);  // the first window
  const auto renorm = handed_out(tiny, {.batch_size = 2});
  const auto ensemble = handed_out(tiny, {.mode = EvalMode::ensemble, .samples = kSamples});
  REQUIRE(renorm.size() == 48);
  REQUIRE(ensemble.size() == 48);
  const auto dense = distributions(tiny, inputs, draw_plans(dense_plan_specs(2, 32), {}));
  std::vector<double> mean(32 * 256, 0.0);
  std::vector<std::vector<double>> of_sample;
  for (int64_t r = 0; r < kSamples; ++r) {
    const RngKey key{.seed = tiny.config.train.seed,
                     .purpose = RngPurpose::ensemble,
                     .rank = static_cast<uint16_t>(r)};
    const auto one =
        distributions(tiny, inputs, draw_plans(decoder_plan_specs(tiny.config.ssa, 2, 32), key));
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / kSamples;
    of_sample.push_back(one);
  }
  double most_spread = 0;
  for (size_t position = 0; position < 32; ++position) {
    const auto best = [&](const std::vector<double>& of) {
      const auto row = of.begin() + static_cast<std::ptrdiff_t>(position * 256);
      return std::max_element(row, row + 256) - row;
    };
    CHECK(renorm[position].number == best(dense));
    CHECK(renorm[position].probability ==
          Approx(dense[position * 256 + size_t(best(dense))]).epsilon(1e-5));
    CHECK(renorm[position].deviation == 0);
    CHECK(ensemble[position].number == best(mean));
    CHECK(ensemble[position].probability ==
          Approx(mean[position * 256 + size_t(best(mean))]).epsilon(1e-5));
    const size_t named = position * 256 + size_t(best(mean));
    double squares = 0;
    for (const auto& one : of_sample) squares += std::pow(one[named] - mean[named], 2);
    CHECK(ensemble[position].deviation ==
          Approx(std::sqrt(squares / (kSamples - 1))).epsilon(1e-3).margin(1e-6));
    most_spread = std::max(most_spread, ensemble[position].deviation);
  }
  CHECK(most_spread > 1e-3);
}

TEST_CASE("likeliest classes are the same on any ranks, and change no score") {
  const TinyModel tiny;
  for (const EvalOptions& options :
       {EvalOptions{.batch_size = 2}, EvalOptions{.mode = EvalMode::ensemble, .samples = 2}}) {
    const auto alone = handed_out(tiny, options);
    std::vector<std::vector<LikeliestClass>> of_rank(3);
    std::vector<std::unique_ptr<TinyModel>> models;
    for (int rank = 0; rank < 3; ++rank) models.push_back(std::make_unique<TinyModel>());
    testing::on_ranks(3, [&](Communicator& ranks) {
      omp_set_num_threads(1);
      EvalOptions own = options;
      own.ranks = &ranks;
      const auto rank = static_cast<size_t>(ranks.rank());
      of_rank[rank] = handed_out(*models[rank], own);
    });
    for (const auto& one : of_rank) CHECK(same(one, alone));
  }
}
