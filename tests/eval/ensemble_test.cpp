#include "ssa/data/eval_windows.h"

#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kLength = 32, kStride = 16;

/// -log p of each scored byte of a window under each of the sub-models.
struct WindowLosses {
  std::vector<std::vector<double>> of_sample;  // (R, tokens)
};

/// Every window and sub-model by itself. Plans are keyed by (train.seed, window, sample). The
/// losses of dense attention come behind those of the sub-models.
std::vector<WindowLosses> losses_by_hand(const TinyModel& tiny, size_t samples) {
  const std::vector<int32_t> text = tiny.text(Split::valid);
  const auto bytes = tiny.dataset.split_size(Split::valid);
  const auto specs = decoder_plan_specs(tiny.config.ssa, 2, kLength);
  const auto dense = dense_plan_specs(2, kLength);
  std::vector<WindowLosses> windows;
  int64_t scored = 0;
  for (int64_t start = 0; scored < bytes; start += kStride) {
    std::vector<int32_t> inputs(kLength, kStartByte), targets(kLength, 0);
    for (int64_t i = 0; i < std::min(kLength, bytes - start); ++i) {
      inputs[static_cast<size_t>(i)] = text[static_cast<size_t>(start + i)];
      targets[static_cast<size_t>(i)] = text[static_cast<size_t>(start + i + 1)];
    }
    const int64_t end = std::min(start + kLength, bytes);
    WindowLosses window;
    for (size_t r = 0; r <= samples; ++r) {
      const RngKey key{.seed = tiny.config.train.seed,
                       .purpose = RngPurpose::ensemble,
                       .step = static_cast<uint32_t>(windows.size()),
                       .rank = static_cast<uint16_t>(r)};
      const std::vector<double> all =
          tiny.log_probabilities(inputs, targets, draw_plans(r < samples ? specs : dense, key));
      window.of_sample.emplace_back();
      for (int64_t i = scored - start; i < end - start; ++i) {
        window.of_sample.back().push_back(-all[static_cast<size_t>(i)]);
      }
    }
    scored = end;
    windows.push_back(window);
  }
  return windows;
}

/// Sum of -log((1/R)·Σ_r p_r) over a window's bytes, for the first R sub-models.
double ensemble_loss(const WindowLosses& window, size_t samples) {
  double total = 0;
  for (size_t i = 0; i < window.of_sample.front().size(); ++i) {
    double probability = 0;
    for (size_t r = 0; r < samples; ++r) probability += std::exp(-window.of_sample[r][i]);
    total -= std::log(probability / static_cast<double>(samples));
  }
  return total;
}

struct Statistics {
  double mean, standard_error;
};

/// Mean per byte of sums over windows, and its standard error with windows as the independent
/// units (the ratio estimator).
Statistics over_windows(const std::vector<WindowLosses>& windows, size_t samples) {
  double sum = 0, bytes = 0;
  for (const WindowLosses& window : windows) {
    sum += ensemble_loss(window, samples);
    bytes += static_cast<double>(window.of_sample.front().size());
  }
  const double mean = sum / bytes, count = static_cast<double>(windows.size());
  double squares = 0;
  for (const WindowLosses& window : windows) {
    const double tokens = static_cast<double>(window.of_sample.front().size());
    squares += std::pow(ensemble_loss(window, samples) - mean * tokens, 2);
  }
  const double variance_of_sum = squares * count / (count - 1);
  return {mean, std::sqrt(variance_of_sum) / bytes};
}

}  // namespace

TEST_CASE("an ensemble averages probabilities: each point of its curve against a plain loop") {
  const TinyModel tiny;
  constexpr size_t kSamples = 5;
  const auto windows = losses_by_hand(tiny, kSamples);
  REQUIRE(windows.size() == 6);
  const EvalResult result = tiny.evaluate({.mode = EvalMode::ensemble, .samples = kSamples});
  CHECK(result.terms == 100);
  REQUIRE(result.curve.size() == kSamples);
  std::vector<double> single;
  for (size_t r = 1; r <= kSamples; ++r) {
    CAPTURE(r);
    const Statistics expected = over_windows(windows, r);
    const CurvePoint& point = result.curve[r - 1];
    CHECK(point.samples == static_cast<int64_t>(r));
    CHECK(point.loss == Approx(expected.mean).epsilon(1e-6));
    CHECK(point.stderr_ == Approx(expected.standard_error).epsilon(1e-4));
    CHECK(point.stderr_ > 0);
    double own = 0;
    for (const WindowLosses& window : windows) {
      for (const double loss : window.of_sample[r - 1]) own += loss;
    }
    single.push_back(own / 100);
  }
  CHECK(result.loss == result.curve.back().loss);

  double mean = 0, squares = 0;
  for (const double loss : single) mean += loss / kSamples;
  for (const double loss : single) squares += (loss - mean) * (loss - mean);
  const double spread = std::sqrt(squares / (kSamples - 1));
  CHECK(spread > 1e-4);
  CHECK(result.spread == Approx(spread).epsilon(1e-3));
  CHECK(result.loss < mean);  // Jensen: the mean of probabilities beats the mean model
}

TEST_CASE("each point of a curve has its difference to renorm, with the paired standard error") {
  const TinyModel tiny;
  constexpr size_t kSamples = 4;
  const auto windows = losses_by_hand(tiny, kSamples);
  const EvalResult result = tiny.evaluate({.mode = EvalMode::ensemble, .samples = kSamples});
  double dense = 0;
  std::vector<double> of_window;
  for (const WindowLosses& window : windows) {
    of_window.push_back(0);
    for (const double loss : window.of_sample.back()) of_window.back() += loss;
    dense += of_window.back() / 100;
  }
  CHECK(result.renorm.loss == Approx(dense).epsilon(1e-6));
  CHECK(result.renorm.metrics.front().value == Approx(dense / std::log(2.0)).epsilon(1e-6));
  CHECK(result.renorm.loss == Approx(tiny.evaluate({.batch_size = 4}).loss).epsilon(1e-6));
  for (size_t r = 1; r <= kSamples; ++r) {
    CAPTURE(r);
    const double difference = over_windows(windows, r).mean - dense;
    double squares = 0;
    for (size_t w = 0; w < windows.size(); ++w) {
      const auto tokens = static_cast<double>(windows[w].of_sample.front().size());
      squares += std::pow(ensemble_loss(windows[w], r) - of_window[w] - difference * tokens, 2);
    }
    const double error = std::sqrt(squares * 6 / 5) / 100;
    const CurvePoint& point = result.curve[r - 1];
    CHECK(point.difference.value == Approx(difference / std::log(2.0)).epsilon(1e-4));
    CHECK(point.difference.stderr_ == Approx(error / std::log(2.0)).epsilon(1e-3));
    CHECK(point.difference.stderr_ > 0);
  }
}

TEST_CASE("an ensemble of dense models is the dense model, however many there are") {
  const TinyModel tiny({"ssa.kind=none"});
  const double renorm = tiny.evaluate({.batch_size = 4}).loss;
  for (const int64_t samples : {1, 3}) {
    const EvalResult result =
        tiny.evaluate({.mode = EvalMode::ensemble, .samples = samples, .batch_size = 4});
    CHECK(result.loss == Approx(renorm).epsilon(1e-6));
    CHECK(result.spread == Approx(0).margin(1e-12));
    CHECK(result.curve.front().difference.value == Approx(0).margin(1e-12));
    CHECK(result.curve.size() == static_cast<size_t>(samples));
  }
}

TEST_CASE("the first points of a longer curve are those of a shorter one") {
  const TinyModel tiny;
  const EvalResult few = tiny.evaluate({.mode = EvalMode::ensemble, .samples = 2});
  const EvalResult more = tiny.evaluate({.mode = EvalMode::ensemble, .samples = 4});
  for (size_t i = 0; i < few.curve.size(); ++i) {
    CHECK(few.curve[i].loss == more.curve[i].loss);
    CHECK(few.curve[i].stderr_ == more.curve[i].stderr_);
  }
  const TinyModel other({"train.seed=2"});
  CHECK(other.evaluate({.mode = EvalMode::ensemble, .samples = 2}).loss != few.loss);
}

TEST_CASE("unbiased sampling makes an ensemble too, and one window has no standard error") {
  const TinyModel tiny({"ssa.kind=unbiased", "ssa.drop=0.5"});
  const EvalResult result =
      tiny.evaluate({.mode = EvalMode::ensemble, .samples = 3, .max_tokens = 20});
  CHECK(result.terms == 20);
  CHECK(std::isfinite(result.loss));
  CHECK(std::isnan(result.curve.back().stderr_));
  CHECK(std::isnan(result.curve.back().difference.stderr_));
  CHECK(result.spread > 0);
}

TEST_CASE("an ensemble of no models is refused") {
  const TinyModel tiny;
  for (const int64_t samples : {0, -1, 65537}) {
    CHECK(contains(message_of<ConfigError>(
                       [&] { tiny.evaluate({.mode = EvalMode::ensemble, .samples = samples}); }),
                   "eval.samples"));
  }
}

TEST_CASE("an ensemble can be stopped inside a window, which does not count then") {
  const TinyModel tiny;
  std::vector<int64_t> seen;
  double last = 0;
  ScoreOptions options{.mode = EvalMode::ensemble, .samples = 2};
  options.progress = [&](const EvalProgress& now) {
    CHECK(now.total == 100);
    seen.push_back(now.done);
    last = now.value;
    return true;
  };
  const EvalResult whole = tiny.evaluate(options);
  CHECK(whole.complete);
  // Of each window the dense model and two sub-models, one after the other.
  CHECK(seen == std::vector<int64_t>{10, 21, 32, 37, 42, 48, 53, 58, 64, 69, 74, 80, 85, 90, 96, 97,
                                     98, 100});
  CHECK(last == whole.metrics.front());

  options.progress = [](const EvalProgress& now) { return now.done < 40; };
  const EvalResult stopped = tiny.evaluate(options);
  CHECK_FALSE(stopped.complete);
  CHECK(stopped.terms == 32);
  const EvalResult first =
      tiny.evaluate({.mode = EvalMode::ensemble, .samples = 2, .max_tokens = 32});
  CHECK(stopped.loss == first.loss);
  CHECK(stopped.spread == first.spread);

  options.progress = [](const EvalProgress&) { return false; };
  const EvalResult nothing = tiny.evaluate(options);
  CHECK_FALSE(nothing.complete);
  CHECK(nothing.terms == 0);
  CHECK(nothing.loss == 0);
}
