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
                     Device device, int64_t texts)
    : model_(model),
      options_(options),
      device_(device),
      specs_(specs_of(config, options.mode)),
      plan_seed_(config.train.seed),
      texts_(texts),
      samples_(checked_samples(options)),
      cache_(model.make_cache(config.data.length, samples_ * texts)) {
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
  cache_.start(reading_plans(specs_, key, samples_, device_));
  window_ = window;
}

std::vector<std::vector<double>> NextToken::scores(const std::vector<std::vector<int32_t>>& texts,
                                                   int64_t end) {
  SSA_CHECK(std::ssize(texts) == texts_, "generate: {} texts for {}", texts.size(), texts_);
  SSA_CHECK(end > 0, "generate: nothing to continue");
  const int64_t over = std::max<int64_t>(0, end - cache_.capacity());
  const int64_t window = (over + options_.slide - 1) / options_.slide;
  if (window != window_) start(window);
  const int64_t at_a_time = std::max<int64_t>(1, kRowsAtATime / cache_.sub_models());
  const int64_t window_start = window * options_.slide;
  Tensor last;
  SSA_CHECK(window_start + cache_.length() < end, "generate: a text that has not grown");
  for (int64_t at = window_start + cache_.length(); at < end;) {
    const int64_t stop = std::min(end, at + at_a_time);
    std::vector<int32_t> tokens;  // sub-model by sub-model, so that those of a plan are successive
    for (int64_t r = 0; r < samples_; ++r) {
      for (const auto& text : texts) {
        tokens.insert(tokens.end(), text.begin() + at, text.begin() + stop);
      }
    }
    last = model_.read_each(tokens, stop - at, cache_);
    at = stop;
  }
  const std::vector<double> all = finite_scores(last, fmt::format("token {} of the text", end));
  const int64_t vocabulary = std::ssize(all) / cache_.sub_models();
  std::vector<std::vector<double>> scores;
  for (int64_t i = 0; i < texts_; ++i) {
    const auto row = all.begin() + i * vocabulary;
    scores.push_back(samples_ == 1 ? std::vector<double>(row, row + vocabulary)
                                   : mean_prediction(all, vocabulary, i, texts_));
  }
  return scores;
}

std::vector<double> NextToken::scores(const std::vector<int32_t>& text) {
  return scores(std::vector<std::vector<int32_t>>{text}, std::ssize(text)).front();
}

std::vector<int32_t> generate(NextToken& next, std::vector<int32_t> text, int64_t count,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& emit) {
  std::function<bool(size_t, int32_t)> emit_one;
  if (emit) emit_one = [&](size_t, int32_t token) { return emit(token); };
  return generate_side_by_side(next, {std::move(text)}, {0}, count, options, emit_one).front();
}

std::vector<std::vector<int32_t>> generate_side_by_side(
    NextToken& next, std::vector<std::vector<int32_t>> texts, const std::vector<uint32_t>& numbers,
    int64_t count, const SamplingOptions& options,
    const std::function<bool(size_t, int32_t)>& emit) {
  check(options);
  SSA_CHECK(!texts.empty() && numbers.size() == texts.size(), "generate: {} numbers for {} texts",
            numbers.size(), texts.size());
  std::vector<int64_t> given;
  for (const auto& text : texts) given.push_back(std::ssize(text));
  const auto [shortest, longest] = std::minmax_element(given.begin(), given.end());
  std::vector<std::vector<int32_t>> drawn(texts.size());
  const auto draw = [&](size_t i, const std::vector<double>& scores) {
    const RngKey key{.seed = options.seed, .purpose = RngPurpose::generate, .step = numbers[i]};
    drawn[i].push_back(pick_token(scores, options, key.word(drawn[i].size())));
    texts[i].push_back(drawn[i].back());
    return !emit || emit(i, drawn[i].back());
  };
  for (int64_t end = *shortest; end < *longest + count; ++end) {
    const auto grows = [&](size_t i) { return given[i] <= end && end < given[i] + count; };
    size_t growing = 0;
    for (size_t i = 0; i < texts.size(); ++i) growing += grows(i) ? 1 : 0;
    if (growing == 0) continue;  // all wait for the end of a longer prompt
    for (auto& text : texts) {   // what is complete is read on all the same, beside the others
      if (std::ssize(text) < end) text.resize(static_cast<size_t>(end), text.back());
    }
    const auto scores = next.scores(texts, end);
    for (size_t i = 0; i < texts.size(); ++i) {
      if (grows(i) && !draw(i, scores[i])) return drawn;
    }
  }
  return drawn;
}

int64_t texts_side_by_side(const DecoderLm& model, const Config& config,
                           const ReadingOptions& options, int64_t count, Device device) {
  const int64_t samples = checked_samples(options);
  // The scores of the next token too, in f32 and again in f64.
  const int64_t scores = 12 * model.vocabulary();
  return side_by_side((model.cache_bytes(config.data.length) + scores) * samples, free_on(device),
                      count, "text", samples);
}

}  // namespace ssa
