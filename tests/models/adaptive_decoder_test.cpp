// The decoder with adaptive input and softmax: parameters, gradients, log-probabilities.

#include <cmath>

#include "models/tiny_decoder.h"
#include "support/gradient_check.h"

namespace ssa {
namespace {

using namespace testing;

ModelConfig adaptive_model(bool tied = true) {
  ModelConfig model = tiny_model();
  model.final_norm = false;
  model.embedding = {EmbeddingKind::adaptive, {3, 7}, 2, tied, tied};
  return model;
}

TEST_CASE("adaptive decoder: WikiText-103's parameters at full size", "[models]") {
  ModelConfig model;
  model.final_norm = false;
  model.embedding = {EmbeddingKind::adaptive, {20000, 60000}, 4, true, true};
  const auto parameters = [&] {
    ParameterStore store = ParameterStore::dry();
    const DecoderLm decoder(model, 267735, store);
    return store.count();
  };
  constexpr int64_t kTables = 20000 * 1024 + 40000 * 256 + 207735 * 64;
  constexpr int64_t kProjections = 1024 * (1024 + 256 + 64), kClasses = 2 * 1024;
  CHECK(parameters() == kTables + kProjections + kClasses + 16 * int64_t{12596224});
  CHECK(static_cast<double>(parameters()) == Approx(246.9e6).margin(0.3e6));
  model.embedding.tie_projections = false;
  CHECK(parameters() ==
        kTables + kProjections + kClasses + 16 * int64_t{12596224} + 1024 * (256 + 64));
}

TEST_CASE("adaptive decoder: gradients of every parameter", "[models]") {
  const bool tied = GENERATE(true, false);
  const bool checkpointing = GENERATE(true, false);
  ModelConfig model = adaptive_model(tied);
  model.dropout = 0.2;
  model.softmax_dropout = 0.2;
  TinyDecoder tiny(model);
  tiny.disturb();
  tiny.decoder.set_activation_checkpointing(checkpointing ? Checkpointing::block
                                                          : Checkpointing::none);
  tiny.targets.data<int32_t>()[3] = -1;
  const std::vector<PlanTensors> plans = tiny_plans(SsaKind::local);
  std::vector<NamedLeaf> leaves;
  for (const Parameter& parameter : tiny.store.all()) {
    leaves.push_back({parameter.name, parameter.variable});
  }
  const nn::Context training{true, {.seed = 4, .step = 9, .rank = 1, .stream = 2}};
  check_gradients("adaptive decoder", leaves,
                  [&] { return tiny.decoder.losses(tiny.input(plans), tiny.targets, training); },
                  {.step = 1e-5, .tolerance = 5e-8, .max_elements = 16});
}

TEST_CASE("adaptive decoder: logits are log-probabilities, losses their negatives", "[models]") {
  TinyDecoder tiny(adaptive_model());
  tiny.disturb();
  const std::vector<PlanTensors> plans = tiny_plans(SsaKind::none);
  const Tensor scores = tiny.decoder.logits(tiny.input(plans), {}).value();
  REQUIRE(scores.shape() == Shape{kTinyBatch * kTinyLength, kTinyVocabulary});
  const std::vector<double> log = values(scores);
  const std::vector<double> losses =
      values(tiny.decoder.losses(tiny.input(plans), tiny.targets, {}).value());
  for (size_t r = 0; r < losses.size(); ++r) {
    const auto target = static_cast<size_t>(tiny.targets.data<int32_t>()[r]);
    CHECK(losses[r] == Approx(-log[r * kTinyVocabulary + target]).epsilon(1e-12));
  }
}

TEST_CASE("adaptive decoder: cutoffs that do not fit the vocabulary are refused", "[models]") {
  ParameterStore store = ParameterStore::dry();
  ModelConfig model = adaptive_model();
  model.embedding.cutoffs = {3, 11};
  CHECK_THAT(message_of<ConfigError>([&] { DecoderLm(model, 11, store); }),
             Catch::Contains("model.embedding.cutoffs"));
}

}  // namespace
}  // namespace ssa
