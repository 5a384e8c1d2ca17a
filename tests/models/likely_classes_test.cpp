#include <cmath>

#include "models/tiny_decoder.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

ModelInput model_input(const TinyDecoder& tiny, const Tensor& targets) {
  const Shape shape{kTinyBatch, kTinyLength};
  return {kTinyBatch,
          {{"ids", tiny.ids.view(shape)}, {"targets", targets.view(shape)}},
          tiny_plans(SsaKind::local)};
}

ModelConfig adaptive_model() {
  ModelConfig model = tiny_model();
  model.embedding.kind = EmbeddingKind::adaptive;
  model.embedding.cutoffs = {3, 6};
  model.embedding.factor = 2;
  return model;
}

}  // namespace

TEST_CASE("the likeliest tokens are those of the highest scores, for positions with a target") {
  for (const ModelConfig& model : {tiny_model(), adaptive_model()}) {
    CAPTURE(model.embedding.cutoffs.size());
    const TinyDecoder tiny(model);
    tiny.disturb();
    Tensor targets = tiny.targets.to(Device::reference);
    targets.data<int32_t>()[2] = -1;
    const ModelInput input = model_input(tiny, targets);
    const Variable logits = tiny.decoder.logits(tiny.input(input.plans), {});
    LikelyClasses likely;
    const Tensor losses = tiny.decoder.ranked_predictions(input, 3, likely);
    REQUIRE(likely.per_term == 3);
    REQUIRE(likely.all.size() == 3 * (kTinyBatch * kTinyLength - 1));
    const Tensor plain = tiny.decoder.predictions(input);
    size_t term = 0;
    for (int64_t row = 0; row < kTinyBatch * kTinyLength; ++row) {
      CHECK(losses.data<double>()[row] == plain.data<double>()[row]);
      if (row == 2) continue;
      const double* scores = logits.value().data<double>() + row * kTinyVocabulary;
      double total = 0;
      for (int64_t v = 0; v < kTinyVocabulary; ++v) total += std::exp(scores[v]);
      for (size_t k = 0; k < 3; ++k) {
        const LikelyClass& one = likely.all[3 * term + k];
        if (k > 0) CHECK(likely.all[3 * term + k - 1].number < one.number);
        CHECK(one.probability == Approx(std::exp(scores[one.number]) / total).epsilon(1e-5));
        const auto higher = std::count_if(scores, scores + kTinyVocabulary,
                                          [&](double other) { return other > scores[one.number]; });
        CHECK(higher < 3);
      }
      ++term;
    }
    LikelyClasses whole;
    tiny.decoder.ranked_predictions(input, 256, whole);
    CHECK(whole.per_term == kTinyVocabulary);
    double sum = 0;
    for (size_t v = 0; v < kTinyVocabulary; ++v)
      sum += static_cast<double>(whole.all[v].probability);
    CHECK(sum == Approx(1).epsilon(1e-5));
  }
}
