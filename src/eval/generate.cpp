#include "ssa/eval/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssa/models/decoder_plans.h"

#include "eval/reading.h"

namespace ssa {

namespace {

void check(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw ConfigError("temperature: {} is not a number from 0 up", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw ConfigError("top-p: {} is outside (0, 1]", options.top_p);
  }
  if (options.top_k < 0) throw ConfigError("top-k: {} is negative", options.top_k);
}

/// Tokens by falling score; of equal scores the lower token comes first. They are sorted only as
/// far as needed: few tokens of a large vocabulary are ever looked at.
class Ranking {
 public:
  explicit Ranking(const std::vector<double>& scores) : scores_(scores), order_(scores.size()) {
    std::iota(order_.begin(), order_.end(), 0);
  }
  int32_t operator[](size_t place) {
    if (place >= sorted_) sort_up_to(std::min(order_.size(), std::max<size_t>(64, 8 * place)));
    return order_[place];
  }
  size_t size() const { return order_.size(); }

 private:
  void sort_up_to(size_t end) {
    const auto at = [this](size_t place) {
      return order_.begin() + static_cast<std::ptrdiff_t>(place);
    };
    std::partial_sort(at(sorted_), at(end), order_.end(), [this](int32_t a, int32_t b) {
      const double x = scores_[static_cast<size_t>(a)], y = scores_[static_cast<size_t>(b)];
      return x > y || (x == y && a < b);
    });
    sorted_ = end;
  }
  const std::vector<double>& scores_;
  std::vector<int32_t> order_;
  size_t sorted_ = 0;
};

}  // namespace

int32_t pick_token(const std::vector<double>& scores, const SamplingOptions& options,
                   uint32_t word) {
  check(options);
  Ranking ranking(scores);
  const double highest = scores[static_cast<size_t>(ranking[0])];
  if (options.temperature == 0) return ranking[0];
  const auto weight = [&](int32_t token) {
    return std::exp((scores[static_cast<size_t>(token)] - highest) / options.temperature);
  };
  size_t count = ranking.size();
  double kept = 0;
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(count)) {
    count = static_cast<size_t>(options.top_k);
    for (size_t i = 0; i < count; ++i) kept += weight(ranking[i]);
  } else {
    for (size_t token = 0; token < count; ++token) kept += weight(static_cast<int32_t>(token));
  }
  if (options.top_p < 1) {
    const double wanted = options.top_p * kept;
    size_t enough = 0;
    kept = 0;
    while (enough < count && (enough == 0 || kept < wanted)) kept += weight(ranking[enough++]);
    count = enough;
  }
  double point = uniform_open(word) * kept;
  for (size_t i = 0; i < count; ++i) {
    point -= weight(ranking[i]);
    if (point < 0) return ranking[i];
  }
  return ranking[count - 1];
}

namespace {

int64_t checked_samples(const ReadingOptions& options) {
  if (options.mode == EvalMode::renorm) return 1;
  if (options.samples < 1 || options.samples > kMostSamples) {
    throw ConfigError("samples: {} is outside 1 … {}", options.samples, kMostSamples);
  }
  return options.samples;
}

std::vector<PlanSpec> specs_of(const Config& config, EvalMode mode) {
  return mode == EvalMode::renorm
             ? dense_plan_specs(config.model.layers, config.data.length)
             : decoder_plan_specs(config.ssa, config.model.layers, config.data.length);
}

}  // namespace

NextToken::NextToken(const DecoderLm& model, const Config& config, const ReadingOptions& options,
                     Device device)
    : model_(model),
      options_(options),
      device_(device),
      specs_(specs_of(config, options.mode)),
      plan_seed_(config.train.seed),
      cache_(model.make_cache(config.data.length, checked_samples(options))) {
  const int64_t length = config.data.length;
  if (options_.slide < 0 || options_.slide > length) {
    throw ConfigError("slide: {} is outside 0 … {}, the tokens of a context (data.length)",
                      options_.slide, length);
  }
  if (options_.slide == 0) options_.slide = std::max<int64_t>(1, length / 2);
}

void NextToken::start(int64_t window) {
  const RngKey key{
      .seed = plan_seed_, .purpose = RngPurpose::ensemble, .step = static_cast<uint32_t>(window)};
  cache_.start(reading_plans(specs_, key, cache_.sub_models(), device_));
  window_ = window;
}

std::vector<double> NextToken::scores(const std::vector<int32_t>& text) {
  SSA_CHECK(!text.empty(), "generate: nothing to continue");
  const auto end = static_cast<int64_t>(text.size());
  const int64_t over = std::max<int64_t>(0, end - cache_.capacity());
  const int64_t window = (over + options_.slide - 1) / options_.slide;
  if (window != window_) start(window);
  const int64_t at_a_time = std::max<int64_t>(1, kRowsAtATime / cache_.sub_models());
  const int64_t window_start = window * options_.slide;
  Tensor last;
  SSA_CHECK(window_start + cache_.length() < end, "generate: a text that has not grown");
  for (int64_t at = window_start + cache_.length(); at < end;) {
    const int64_t stop = std::min(end, at + at_a_time);
    last = model_.read({text.begin() + at, text.begin() + stop}, cache_);
    at = stop;
  }
  const std::vector<double> scores = finite_scores(last, fmt::format("token {} of the text", end));
  if (cache_.sub_models() == 1) return scores;
  return mean_prediction(scores, std::ssize(scores) / cache_.sub_models());
}

std::vector<int32_t> generate(NextToken& next, std::vector<int32_t> text, int64_t count,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& emit) {
  check(options);
  const RngKey key{.seed = options.seed, .purpose = RngPurpose::generate};
  const size_t prompt = text.size();
  for (int64_t n = 0; n < count; ++n) {
    text.push_back(pick_token(next.scores(text), options, key.word(static_cast<uint64_t>(n))));
    if (emit && !emit(text.back())) break;
  }
  return std::vector<int32_t>(text.begin() + static_cast<std::ptrdiff_t>(prompt), text.end());
}

}  // namespace ssa
