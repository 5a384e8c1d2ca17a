// Predictions of an ensemble, token by token, against the evaluation of the same text.

#include "ssa/eval/generate.h"

#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kLength = 32;

std::vector<int32_t> part_of(const std::vector<int32_t>& text, int64_t count) {
  return {text.begin(), text.begin() + count};
}

/// -log p of each byte of a split as a generator with `samples` sub-models predicts it.
std::vector<double> losses(const TinyModel& tiny, Split split, int64_t samples, int64_t slide) {
  const std::vector<int32_t> text = tiny.text(split);
  NextToken next(tiny.decoder(), tiny.config,
                 {.mode = EvalMode::ensemble, .samples = samples, .slide = slide}, Device::cpu);
  std::vector<double> losses;
  std::vector<int32_t> read;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    read.push_back(text[i]);
    const std::vector<double> scores = next.scores(read);
    double total = 0;
    for (const double score : scores) total += std::exp(score);
    if (samples > 1) CHECK(total == Approx(1).epsilon(1e-9));
    losses.push_back(std::log(total) - scores[static_cast<size_t>(text[i + 1])]);
  }
  return losses;
}

}  // namespace

TEST_CASE("a generating ensemble predicts what the scored one does, window after window") {
  // Evaluation of 100 bytes in windows of 32 that advance by 16.
  const std::string kind = GENERATE("local", "unbiased", "none");
  const TinyModel tiny({"ssa.kind=" + kind, "ssa.drop=0.5"});
  for (const int64_t samples : {1, 3}) {
    CAPTURE(kind, samples);
    const std::vector<double> own = losses(tiny, Split::valid, samples, 16);
    REQUIRE(own.size() == 100);
    for (const int64_t bytes : {1, 31, 32, 33, 70, 100}) {
      CAPTURE(bytes);
      const EvalResult scored =
          tiny.evaluate({.mode = EvalMode::ensemble, .samples = samples, .max_tokens = bytes});
      REQUIRE(scored.terms == bytes);
      CHECK(mean(own, static_cast<size_t>(bytes)) == Approx(scored.loss).epsilon(2e-6));
    }
  }
}

TEST_CASE("a generating ensemble in f64 is the mean of its sub-models to the last digits") {
  const TinyModel tiny({"model.layers=3", "ssa.layers=2"});  // one dense layer, which they share
  ParameterStore store(Device::reference, DType::f64, 1);
  const DecoderLm model(tiny.config.model, 256, store);
  const std::vector<int32_t> text = part_of(tiny.text(Split::train), 29);
  constexpr int64_t kSamples = 3;
  NextToken next(model, tiny.config, {.mode = EvalMode::ensemble, .samples = kSamples},
                 Device::reference);
  next.scores(part_of(text, 13));
  next.scores(part_of(text, 14));
  const std::vector<double> got = next.scores(text);

  const NoGrad guard;
  const auto specs = decoder_plan_specs(tiny.config.ssa, 3, kLength);
  std::vector<int32_t> padded = text;
  padded.resize(kLength, 0);
  std::vector<double> expected(256, 0.0);
  for (uint16_t r = 0; r < kSamples; ++r) {
    const RngKey key{
        .seed = tiny.config.train.seed, .purpose = RngPurpose::ensemble, .step = 0, .rank = r};
    const auto plans = to_tensors(draw_plans(specs, key), Device::reference);
    const Tensor ids = Tensor::from(padded, {kLength}, Device::reference);
    const Tensor logits = model.logits({1, kLength, ids, &plans}, {}).value();
    const double* row = std::as_const(logits).data<double>() + (text.size() - 1) * 256;
    double total = 0;
    for (int v = 0; v < 256; ++v) total += std::exp(row[v]);
    for (size_t v = 0; v < 256; ++v) expected[v] += std::exp(row[v]) / total / kSamples;
  }
  for (size_t v = 0; v < 256; ++v) {
    CAPTURE(v);
    CHECK(got[v] == Approx(std::log(expected[v])).epsilon(1e-12));
  }
}
