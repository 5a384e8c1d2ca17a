#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The loss of each byte of a split, each from a dense forward pass of its own over the byte's
/// context. The context begins with the first window that contains the byte.
std::vector<double> byte_losses(const TinyModel& tiny, Split split, int64_t length,
                                int64_t overlap) {
  const std::vector<int32_t> text = tiny.text(split);
  std::vector<double> losses;
  for (int64_t byte = 0; byte < tiny.dataset.split_size(split); ++byte) {
    int64_t start = 0;
    while (start + length <= byte) start += length - overlap;
    const std::vector<int32_t> inputs(text.begin() + start, text.begin() + byte + 1);
    const std::vector<int32_t> targets(text.begin() + start + 1, text.begin() + byte + 2);
    const auto plans =
        draw_plans(dense_plan_specs(2, static_cast<int64_t>(inputs.size())), RngKey{});
    losses.push_back(-tiny.log_probabilities(inputs, targets, plans).back());
  }
  return losses;
}

}  // namespace

TEST_CASE("a sliding window scores every byte once, with the context of its window") {
  for (const int overlap : {0, 16, 27}) {
    const TinyModel tiny({"eval.overlap=" + std::to_string(overlap)});
    const std::vector<double> losses = byte_losses(tiny, Split::valid, 32, overlap);
    REQUIRE(losses.size() == 100);  // 5% of 2000, not a multiple of 32
    for (const int64_t batch : {1, 3, 50}) {
      CAPTURE(overlap, batch);
      const EvalResult result = tiny.evaluate({.batch_size = batch});
      CHECK(result.terms == 100);
      CHECK(result.complete);
      CHECK(result.curve.empty());
      CHECK(result.loss == Approx(mean(losses, 100)).epsilon(1e-6));
    }
  }
}

TEST_CASE("more context changes the score: the windows are really overlapping") {
  const TinyModel tiny({"eval.overlap=0"});
  CHECK(std::abs(mean(byte_losses(tiny, Split::valid, 32, 27), 100) -
                 mean(byte_losses(tiny, Split::valid, 32, 0), 100)) > 1e-4);
}

TEST_CASE("max_tokens scores the beginning of the split, each split its own bytes") {
  const TinyModel tiny;
  const std::vector<double> losses = byte_losses(tiny, Split::test, 32, 16);
  for (const int64_t tokens : {1, 31, 32, 33, 77, 100}) {
    CAPTURE(tokens);
    const EvalResult result = tiny.evaluate({.max_tokens = tokens, .batch_size = 2}, Split::test);
    CHECK(result.terms == tokens);
    CHECK(result.loss == Approx(mean(losses, static_cast<size_t>(tokens))).epsilon(1e-6));
  }
  CHECK(tiny.evaluate({.max_tokens = 1000}, Split::test).terms == 100);
}

TEST_CASE("an evaluation window longer than the training length, and longer than the split") {
  const TinyModel longer({"eval.length=64", "eval.overlap=16"});
  CHECK(longer.evaluate({}).loss ==
        Approx(mean(byte_losses(longer, Split::valid, 64, 16), 100)).epsilon(1e-6));
  const TinyModel whole({"eval.length=128", "eval.overlap=0"});
  CHECK(whole.evaluate({}).loss ==
        Approx(mean(byte_losses(whole, Split::valid, 128, 0), 100)).epsilon(1e-6));
}

TEST_CASE("progress sees every batch and can stop the evaluation") {
  const TinyModel tiny;
  std::vector<int64_t> seen;
  double last = 0;
  ScoreOptions options{.batch_size = 1};
  options.progress = [&](const EvalProgress& now) {
    CHECK(now.total == 100);
    seen.push_back(now.done);
    last = now.value;
    return true;
  };
  const EvalResult whole = tiny.evaluate(options);
  CHECK(whole.complete);
  CHECK(seen == std::vector<int64_t>{32, 48, 64, 80, 96, 100});
  CHECK(last == whole.metrics.front());
  options.progress = [](const EvalProgress& now) { return now.done < 48; };
  const EvalResult stopped = tiny.evaluate(options);
  CHECK_FALSE(stopped.complete);
  CHECK(stopped.terms == 48);
}

TEST_CASE("bits are nats over the logarithm of two") {
  CHECK(bits(std::log(2.0)) == Approx(1.0));
  CHECK(bits(std::log(256.0)) == Approx(8.0));
}
