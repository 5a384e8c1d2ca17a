// Reading token by token, against a pass over all tokens at once.

#include "ssa/models/decoder_cache.h"

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;

SsaConfig ssa_of(SsaKind kind) {
  SsaConfig ssa;
  ssa.kind = kind;
  ssa.windows = 4;
  ssa.sigma = {0.3, 0.6};
  ssa.drop = 0.5;
  return ssa;
}

/// Plans of both layers for one sub-model.
std::vector<SourcePlan> drawn(SsaKind kind, uint16_t sub_model) {
  const RngKey key{.seed = 5, .purpose = RngPurpose::ensemble, .rank = sub_model};
  return draw_plans(decoder_plan_specs(ssa_of(kind), 2, kTinyLength), key);
}

ReadingPlans reading(const std::vector<std::vector<SourcePlan>>& of_sub_models) {
  ReadingPlans plans(2);
  for (const std::vector<SourcePlan>& layers : of_sub_models) {
    for (size_t layer = 0; layer < 2; ++layer) {
      plans[layer].emplace_back(layers[layer], Device::reference);
    }
  }
  return plans;
}

struct Reader : TinyDecoder {
  explicit Reader(const ModelConfig& model = tiny_model()) : TinyDecoder(model) { disturb(); }

  std::vector<int32_t> tokens(int64_t first, int64_t count) const {
    const int32_t* from = ids.data<int32_t>() + first;
    return {from, from + count};
  }
  /// Scores after each token of the first sequence, in one pass: (N, V).
  std::vector<double> at_once(const std::vector<SourcePlan>& plans) const {
    const auto tensors = to_tensors(plans, Device::reference);
    const Tensor first = i32(tokens(0, kTinyLength));
    return values(decoder.logits({1, kTinyLength, first, &tensors}, {}).value());
  }
};

/// Checks that `scores` (sub-models, V) are row `position` of each sub-model's scores in one pass.
void check_scores(const Tensor& scores, const std::vector<std::vector<double>>& at_once,
                  int64_t position) {
  REQUIRE(scores.shape() == Shape{static_cast<int64_t>(at_once.size()), kTinyVocabulary});
  const std::vector<double> got = values(scores);
  for (size_t m = 0; m < at_once.size(); ++m) {
    for (size_t v = 0; v < kTinyVocabulary; ++v) {
      CAPTURE(m, position, v);
      const auto row = static_cast<size_t>(position) * kTinyVocabulary;
      CHECK(got[m * kTinyVocabulary + v] == Approx(at_once[m][row + v]).epsilon(1e-12));
    }
  }
}

ModelConfig adaptive_model() {
  ModelConfig model = tiny_model();
  model.embedding = {EmbeddingKind::adaptive, {3, 7}, 2, true, true};
  return model;
}

TEST_CASE("decoder: read in parts, each next token is scored as in one pass", "[models]") {
  const auto kind = GENERATE(SsaKind::none, SsaKind::local, SsaKind::unbiased);
  const bool adaptive = GENERATE(false, true);
  const auto parts =
      GENERATE(std::vector<int64_t>(kTinyLength, 1), std::vector<int64_t>{5, 1, 2},  //
               std::vector<int64_t>{kTinyLength});
  const Reader reader(adaptive ? adaptive_model() : tiny_model());
  const auto plans = drawn(kind, 0);
  const std::vector<double> expected = reader.at_once(plans);
  DecoderCache cache = reader.decoder.make_cache(kTinyLength);
  cache.start(reading({plans}));
  int64_t at = 0;
  for (const int64_t count : parts) {
    const Tensor scores = reader.decoder.read(reader.tokens(at, count), cache);
    at += count;
    CHECK(cache.length() == at);
    check_scores(scores, {expected}, at - 1);
  }
}

TEST_CASE("decoder: sub-models that read together are each by itself", "[models]") {
  const auto kind = GENERATE(SsaKind::local, SsaKind::unbiased);
  const Reader reader;
  std::vector<std::vector<SourcePlan>> plans;
  std::vector<std::vector<double>> expected;
  for (uint16_t m = 0; m < 3; ++m) {
    plans.push_back(drawn(kind, m));
    expected.push_back(reader.at_once(plans.back()));
  }
  REQUIRE(expected[0] != expected[1]);
  DecoderCache cache = reader.decoder.make_cache(kTinyLength, 3);
  cache.start(reading(plans));
  check_scores(reader.decoder.read(reader.tokens(0, 3), cache), expected, 2);
  for (int64_t at = 3; at < kTinyLength; ++at) {
    check_scores(reader.decoder.read(reader.tokens(at, 1), cache), expected, at);
  }
}

TEST_CASE("decoder: a cache can start again, and says when it is full", "[models]") {
  const Reader reader;
  const auto first = drawn(SsaKind::local, 0), second = drawn(SsaKind::local, 1);
  DecoderCache cache = reader.decoder.make_cache(kTinyLength);
  CHECK(cache.capacity() == kTinyLength);
  CHECK_THROWS_AS(reader.decoder.read({1}, cache), ShapeError);  // no plans yet
  cache.start(reading({first}));
  reader.decoder.read(reader.tokens(0, kTinyLength), cache);
  CHECK_THROWS_AS(reader.decoder.read({1}, cache), ShapeError);
  cache.start(reading({second}));
  CHECK(cache.length() == 0);
  check_scores(reader.decoder.read(reader.tokens(0, 7), cache), {reader.at_once(second)}, 6);
  CHECK_THROWS_AS(reader.decoder.read({}, cache), ShapeError);
  CHECK_THROWS_AS(cache.start({}), ShapeError);
}

TEST_CASE("decoder: reading leaves nothing on the tape", "[models]") {
  const Reader reader;
  DecoderCache cache = reader.decoder.make_cache(kTinyLength);
  cache.start(reading({drawn(SsaKind::local, 0)}));
  reader.decoder.read(reader.tokens(0, 1), cache);  // packs weights
  const int64_t before = host_allocator().stats().total_bytes;
  CHECK_FALSE(Variable(reader.decoder.read(reader.tokens(1, 4), cache)).requires_grad());
  CHECK(host_allocator().stats().total_bytes == before);
}

TEST_CASE("a plan is read window by window, up to the last target", "[models]") {
  // Two windows of three positions.
  const SourcePlan plan{6, 2, 3, 2, {0, 1, 2, 3, 4, 5}, {1, 2, 0, 4}};
  const ReadingPlan reading_plan(plan, Device::reference);
  const auto check = [](const nn::PlanPart& part, int64_t first,
                        const std::vector<int32_t>& targets, const std::vector<int32_t>& sources) {
    CHECK(part.first == first);
    CHECK(part.plan.targets.shape() == Shape{1, static_cast<int64_t>(targets.size())});
    CHECK(part.plan.sources.shape() == Shape{1, static_cast<int64_t>(sources.size())});
    const int32_t* target = std::as_const(part.plan.targets).data<int32_t>();
    const int32_t* source = std::as_const(part.plan.sources).data<int32_t>();
    CHECK(std::vector<int32_t>(target, target + targets.size()) == targets);
    CHECK(std::vector<int32_t>(source, source + sources.size()) == sources);
  };
  const auto across = reading_plan.parts(1, 3);
  REQUIRE(across.size() == 2);
  check(across[0], 1, {1, 2}, {1, 2});
  check(across[1], 3, {3}, {0});
  const auto one = reading_plan.parts(0, 1);
  REQUIRE(one.size() == 1);
  check(one[0], 0, {0}, {});
  CHECK_THROWS_AS(reading_plan.parts(5, 2), ShapeError);
  SourcePlan shuffled = plan;
  std::swap(shuffled.targets[0], shuffled.targets[4]);
  CHECK_THROWS_AS(ReadingPlan(shuffled, Device::reference), ShapeError);
}

}  // namespace
}  // namespace ssa
