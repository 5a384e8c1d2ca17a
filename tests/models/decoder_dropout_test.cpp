// Each place of dropout in the decoder must draw its own mask.

#include <cmath>

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;

void fill(const ParameterStore& store, const std::string& name, double value) {
  for (const Parameter& parameter : store.all()) {
    if (parameter.name != name) continue;
    Tensor tensor = parameter.variable.value();
    backend(tensor.device()).fill(tensor, value);
    return;
  }
  FAIL("no parameter " << name);
}

TEST_CASE("decoder dropout: five places, five masks, each by its number", "[models]") {
  // All weights are zero, so branch p of the residual stream is the constant 10^p of its last bias,
  // and the embedding is 1. The digits of the result show what each place kept.
  ModelConfig model = tiny_model();
  model.dropout = 0.5;
  model.final_norm = false;
  model.embedding.tie_weights = false;
  ParameterStore store(Device::reference, DType::f64, 1);
  const DecoderLm decoder(model, model.width, store);  // as many words as channels
  for (const Parameter& parameter : store.all()) fill(store, parameter.name, 0);
  fill(store, "embedding.weight", 1 / std::sqrt(12.0));
  fill(store, "blocks.0.attention.output.bias", 10);
  fill(store, "blocks.0.ffn.down.bias", 100);
  fill(store, "blocks.1.attention.output.bias", 1000);
  fill(store, "blocks.1.ffn.down.bias", 10000);
  Tensor output = store.all().back().variable.value();
  for (int64_t i = 0; i < model.width; ++i) output.data<double>()[i * model.width + i] = 0.5;

  const TinyDecoder batch;
  const std::vector<PlanTensors> plans = tiny_plans(SsaKind::none);
  const nn::Context context{true, {.seed = 4, .step = 9, .rank = 1, .stream = 2}};
  const std::vector<double> stream = values(decoder.logits(batch.input(plans), context).value());
  for (int64_t place = 0; place < 5; ++place) {
    const Dropout dropout = context.dropout(0.5, RngPurpose::dropout, place);
    for (size_t i = 0; i < stream.size(); ++i) {
      CAPTURE(place, i);
      const int64_t digits = std::llround(stream[i]);
      REQUIRE(stream[i] == Approx(static_cast<double>(digits)).margin(1e-9));
      const auto power = static_cast<int64_t>(std::llround(std::pow(10, place)));
      REQUIRE(digits / power % 10 == (dropout.keeps(i) ? 1 : 0));
    }
  }
}

}  // namespace
}  // namespace ssa
