// The parameters of a decoder, by name, and its errors for configs that it cannot build.

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;
using Names = std::vector<std::string>;

Names expected_block(const std::string& block) {
  Names names;
  for (const char* part : {"attention_norm", "attention.query", "attention.key", "attention.value",
                           "attention.output", "ffn_norm", "ffn.up", "ffn.down"}) {
    names.push_back(block + part + ".weight");
    names.push_back(block + part + ".bias");
  }
  return names;
}

Names names(const ModelConfig& model) {
  ParameterStore store = ParameterStore::dry();
  const DecoderLm decoder(model, kTinyVocabulary, store);
  Names result;
  for (const Parameter& parameter : store.all()) result.push_back(parameter.name);
  return result;
}

TEST_CASE("decoder parameters: names in order", "[models]") {
  Names expected = {"embedding.weight"};
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    const Names more = expected_block(block);
    expected.insert(expected.end(), more.begin(), more.end());
  }
  ModelConfig model = tiny_model();
  model.final_norm = false;
  CHECK(names(model) == expected);
  model.final_norm = true;
  expected.push_back("final_norm.weight");
  expected.push_back("final_norm.bias");
  CHECK(names(model) == expected);
  model.embedding.tie_weights = false;
  expected.push_back("output.weight");
  CHECK(names(model) == expected);
}

TEST_CASE("decoder parameters: matrices decay, norms and biases do not", "[models]") {
  const TinyDecoder tiny;
  for (const Parameter& parameter : tiny.store.all()) {
    const bool matrix =
        parameter.name.ends_with(".weight") && parameter.name.find("norm") == std::string::npos;
    CAPTURE(parameter.name);
    CHECK(parameter.decayed == matrix);
  }
}

TEST_CASE("decoder parameters: embeddings start with a spread of one over the root of the width",
          "[models]") {
  ModelConfig model = tiny_model();
  model.width = 48;
  model.embedding.tie_weights = false;
  ParameterStore store(Device::reference, DType::f32, 1);
  const DecoderLm decoder(model, 256, store);
  for (const Parameter& parameter : {store.all().front(), store.all().back()}) {
    CAPTURE(parameter.name);
    CHECK(parameter.shape == Shape{256, 48});
    double squares = 0;
    for (const double x : values(parameter.variable.value())) squares += x * x;
    CHECK(squares / (256 * 48) == Approx(1.0 / 48).epsilon(0.08));
  }
}

TEST_CASE("decoder parameters: the tied output matrix is the embedding", "[models]") {
  // Logits of a zeroed table are zero only if it is the output matrix.
  const auto all_zero = [](bool tied) {
    ModelConfig model = tiny_model();
    model.embedding.tie_weights = tied;
    const TinyDecoder tiny(model);
    tiny.disturb();
    Tensor table = tiny.store.all().front().variable.value();
    backend(table.device()).fill(table, 0);
    const std::vector<PlanTensors> plans = tiny_plans(SsaKind::none);
    const std::vector<double> logits = values(tiny.decoder.logits(tiny.input(plans), {}).value());
    return logits == std::vector<double>(logits.size(), 0.0);
  };
  CHECK(all_zero(true));
  CHECK_FALSE(all_zero(false));
}

TEST_CASE("decoder parameters: what is not built is refused by key", "[models]") {
  ParameterStore store = ParameterStore::dry();
  ModelConfig model = tiny_model();
  model.position = PositionKind::relative_2d;
  CHECK_THAT(message_of<ConfigError>([&] { DecoderLm(model, 11, store); }),
             Catch::Contains("model.position"));
}

TEST_CASE("decoder parameters: a plan for every layer, or an error", "[models]") {
  const TinyDecoder tiny;
  std::vector<PlanTensors> plans = tiny_plans(SsaKind::none);
  plans.pop_back();
  CHECK_THAT(message_of<ShapeError>([&] { tiny.decoder.logits(tiny.input(plans), {}); }),
             Catch::Contains("1 plans for 2 layers"));
}

}  // namespace
}  // namespace ssa
