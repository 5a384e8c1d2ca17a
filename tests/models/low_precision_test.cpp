// The whole decoder in bf16, by the rule for low precision: its error against f64 is at most twice
// that of naive arithmetic in the same precision, which is the reference backend's.

#include <cmath>
#include <map>

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using testing::values;

constexpr int64_t kBatch = 3, kLength = 40, kVocabulary = 50;

enum class Vocabulary { plain, adaptive, adaptive_untied };

ModelConfig model_config(Vocabulary vocabulary = Vocabulary::plain) {
  ModelConfig model;
  model.layers = 2;
  model.width = 48;
  model.ffn_width = 112;
  model.heads = 3;
  if (vocabulary == Vocabulary::plain) return model;
  const bool tied = vocabulary == Vocabulary::adaptive;
  model.embedding = {EmbeddingKind::adaptive, {12, 30}, 2, tied, tied};
  return model;
}

Tensor tokens(uint64_t first, Device device) {
  std::vector<int32_t> ids;
  for (uint64_t i = first; i < first + kBatch * kLength; ++i) {
    ids.push_back(static_cast<int32_t>(RngKey{.seed = 8}.word(i) % kVocabulary));
  }
  return Tensor::from(ids, {kBatch * kLength}, device);
}

using Results = std::map<std::string, std::vector<double>>;

/// Losses and gradients; weights start from the same f32 numbers for every dtype.
Results run(Device device, DType parameters, DType activations, SsaKind kind,
            Vocabulary vocabulary) {
  ParameterStore store(device, parameters, 1);
  DecoderLm decoder(model_config(vocabulary), kVocabulary, store);
  decoder.set_precision(activations);
  SsaConfig ssa;
  ssa.kind = kind;
  ssa.windows = 4;
  ssa.sigma = {0.1, 0.3};
  ssa.drop = 0.5;
  const auto plans = to_tensors(
      draw_plans(decoder_plan_specs(ssa, 2, kLength), RngKey{.purpose = RngPurpose::plan}), device);
  const Variable losses = decoder.losses({kBatch, kLength, tokens(0, device), &plans},
                                         tokens(1, device), nn::Context{});
  Tensor grad = Tensor::empty_like(losses.value());
  backend(device).fill(grad, 1.0 / (kBatch * kLength));
  losses.backward(grad);
  Results results = {{"losses", values(losses.value())}};
  for (const Parameter& parameter : store.all()) {
    results[parameter.name] = values(parameter.variable.grad());
  }
  return results;
}

/// √Σ (a - b)²
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

double size_of(const std::vector<double>& a) {
  return distance(a, std::vector<double>(a.size(), 0.0));
}

/// The least magnitude that errors are relative to. A key's bias moves all logits of a target
/// alike, so its gradient is rounding noise, of the size of the query's rounding noise.
double noise(const Results& exact, const std::string& name) {
  const size_t key = name.find("key.bias");
  if (key == name.npos) return 1e-6 * size_of(exact.at(name));
  return 0x1p-8 * size_of(exact.at(name.substr(0, key) + "query.bias"));
}

void check_twice_naive(SsaKind kind, Vocabulary vocabulary) {
  const Results exact = run(Device::reference, DType::f64, DType::f64, kind, vocabulary);
  const Results naive = run(Device::reference, DType::f32, DType::bf16, kind, vocabulary);
  const Results fast = run(Device::cpu, DType::f32, DType::bf16, kind, vocabulary);
  for (const auto& [name, truth] : exact) {
    INFO(name);
    const double naive_error = distance(naive.at(name), truth);
    CHECK(naive_error > 1e-5 * size_of(truth));  // bf16 it is
    CHECK(distance(fast.at(name), truth) <= 2 * naive_error + noise(exact, name));
  }
}

TEST_CASE("low precision: the decoder in bf16 errs at most twice as much as naive arithmetic",
          "[models]") {
  check_twice_naive(GENERATE(SsaKind::none, SsaKind::local, SsaKind::unbiased), Vocabulary::plain);
}

TEST_CASE("low precision: nor does an adaptive vocabulary err more", "[models]") {
  check_twice_naive(SsaKind::none, GENERATE(Vocabulary::adaptive, Vocabulary::adaptive_untied));
}

TEST_CASE("low precision: logits are f32, whatever the activations", "[models]") {
  ParameterStore store(Device::reference, DType::f32, 1);
  DecoderLm decoder(model_config(), kVocabulary, store);
  decoder.set_precision(DType::bf16);
  const auto plans =
      to_tensors(draw_plans(dense_plan_specs(2, kLength), RngKey{}), Device::reference);
  const Variable logits =
      decoder.logits({kBatch, kLength, tokens(0, Device::reference), &plans}, nn::Context{});
  CHECK(logits.value().dtype() == DType::f32);
}

}  // namespace
}  // namespace ssa
