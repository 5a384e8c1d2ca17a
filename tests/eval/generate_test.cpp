#include "ssa/eval/generate.h"

#include <algorithm>

#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const std::vector<int32_t> kPrompt = {kStartByte, 't', 'h', 'e', ' '};

std::vector<int32_t> continued(const TinyModel& tiny, const std::vector<int32_t>& prompt,
                               int64_t count, const SamplingOptions& options,
                               const ReadingOptions& reading = {}) {
  NextToken next(tiny.decoder(), tiny.config, reading, Device::cpu);
  return generate(next, prompt, count, options);
}

std::vector<int32_t> part(const std::vector<int32_t>& text, int64_t first, int64_t end) {
  return {text.begin() + first, text.begin() + end};
}

/// Log-probabilities of every byte that may follow `text`, from one dense pass.
std::vector<double> next_by_hand(const TinyModel& tiny, const std::vector<int32_t>& text) {
  const auto plans = draw_plans(dense_plan_specs(2, static_cast<int64_t>(text.size())), RngKey{});
  std::vector<double> scores;
  for (int32_t byte = 0; byte < 256; ++byte) {
    std::vector<int32_t> targets(text.size(), 0);
    targets.back() = byte;
    scores.push_back(tiny.log_probabilities(text, targets, plans).back());
  }
  return scores;
}

int32_t likeliest(const std::vector<double>& scores) {
  return static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

}  // namespace

TEST_CASE("at temperature 0 each byte is the likeliest after all that came before") {
  const TinyModel tiny;
  std::vector<int32_t> text = kPrompt;
  for (const int32_t token : continued(tiny, kPrompt, 4, {.temperature = 0})) {
    CHECK(token == likeliest(next_by_hand(tiny, text)));
    text.push_back(token);
  }
  CHECK(text.size() == kPrompt.size() + 4);
}

TEST_CASE("a seed determines the text, and another seed gives another text") {
  const TinyModel tiny;
  const auto text = continued(tiny, kPrompt, 40, {.seed = 4});
  CHECK(text.size() == 40);
  CHECK(std::all_of(text.begin(), text.end(), [](int32_t t) { return t >= 0 && t < 256; }));
  CHECK(continued(tiny, kPrompt, 40, {.seed = 4}) == text);
  CHECK(continued(tiny, kPrompt, 40, {.seed = 5}) != text);
  // The number of requested tokens does not change the earlier tokens.
  CHECK(continued(tiny, kPrompt, 7, {.seed = 4}) == part(text, 0, 7));
}

TEST_CASE("a later window begins when the context is full") {
  // Contexts of 32 tokens.
  const bool at_once = GENERATE(true, false);
  const TinyModel tiny;
  const std::vector<int32_t> text = tiny.text(Split::train);
  struct Case {
    int64_t slide, length, begins;
  };
  const std::vector<Case> cases = {{1, 32, 0},   {1, 33, 1},   {1, 60, 28}, {0, 32, 0},
                                   {0, 33, 16},  {0, 48, 16},  {0, 49, 32}, {10, 33, 10},
                                   {10, 42, 10}, {10, 43, 20}, {32, 64, 32}};
  for (const Case& c : cases) {
    CAPTURE(c.slide, c.length);
    NextToken next(tiny.decoder(), tiny.config, {.slide = c.slide}, Device::cpu);
    const std::vector<double> expected = next_by_hand(tiny, part(text, c.begins, c.length));
    if (!at_once) {
      next.scores(part(text, 0, 20));
      next.scores(part(text, 0, c.length - 1));
    }
    const std::vector<double> got = next.scores(part(text, 0, c.length));
    // Scores are logits: equal up to a constant.
    for (size_t v = 0; v < 256; ++v) {
      CHECK(got[v] - got[0] == Approx(expected[v] - expected[0]).margin(1e-4));
    }
  }
}

TEST_CASE("keys and values are kept in the precision of the run") {
  const TinyModel tiny({"train.precision=bf16"});
  const std::vector<int32_t> text = part(tiny.text(Split::train), 0, 20);
  NextToken next(tiny.decoder(), tiny.config, {}, Device::cpu);
  for (int64_t n = 1; n < 20; ++n) next.scores(part(text, 0, n));
  const std::vector<double> got = next.scores(text), expected = next_by_hand(tiny, text);
  double squares = 0, size = 0;
  for (size_t v = 0; v < 256; ++v) {
    squares += std::pow(got[v] - got[0] - (expected[v] - expected[0]), 2);
    size += std::pow(expected[v] - expected[0], 2);
  }
  CHECK(std::sqrt(squares / size) < 0.02);
}

TEST_CASE("a prompt's end makes no difference to what follows") {
  const TinyModel tiny;
  const auto text = continued(tiny, kPrompt, 60, {.temperature = 0});
  std::vector<int32_t> longer = kPrompt;
  longer.insert(longer.end(), text.begin(), text.begin() + 35);
  CHECK(continued(tiny, longer, 25, {.temperature = 0}) == part(text, 35, 60));
}

TEST_CASE("tokens are emitted as they are drawn, until emit() returns false") {
  const TinyModel tiny;
  std::vector<int32_t> received;
  const auto emit = [&](int32_t token) {
    received.push_back(token);
    return received.size() < 3;
  };
  NextToken next(tiny.decoder(), tiny.config, {}, Device::cpu);
  const auto text = generate(next, kPrompt, 40, {}, emit);
  CHECK(text == received);
  CHECK(received.size() == 3);
  CHECK(continued(tiny, kPrompt, 0, {}).empty());
  CHECK_THROWS_AS(continued(tiny, {}, 3, {}), ShapeError);
  CHECK_THROWS_AS(next.scores(kPrompt), ShapeError);  // not longer than what was read
}

TEST_CASE("texts that are continued side by side are those that are continued alone") {
  const TinyModel tiny;
  // Contexts of 32 tokens: the longest prompt ends behind the first window, and the shortest text
  // is complete long before that prompt ends.
  const std::vector<int32_t> train = tiny.text(Split::train);
  const std::vector<std::vector<int32_t>> prompts = {kPrompt, part(train, 0, 1), part(train, 9, 50),
                                                     part(train, 20, 28)};
  const ReadingOptions reading =
      GENERATE(ReadingOptions{}, ReadingOptions{.mode = EvalMode::ensemble, .samples = 3});
  NextToken next(tiny.decoder(), tiny.config, reading, Device::cpu, 4);
  std::vector<std::vector<int32_t>> emitted(4);
  const auto drawn = generate_side_by_side(next, prompts, {0, 1, 7, 2}, 12, {.seed = 3},
                                           [&](size_t i, int32_t token) {
                                             emitted[i].push_back(token);
                                             return true;
                                           });
  CHECK(drawn == emitted);
  for (size_t i = 0; i < prompts.size(); ++i) {
    CAPTURE(i);
    CHECK(drawn[i].size() == 12);
    NextToken alone(tiny.decoder(), tiny.config, reading, Device::cpu);
    const std::vector<uint32_t> number = {std::vector<uint32_t>{0, 1, 7, 2}[i]};
    CHECK(generate_side_by_side(alone, {prompts[i]}, number, 12, {.seed = 3}).front() == drawn[i]);
  }
  CHECK(continued(tiny, kPrompt, 12, {.seed = 3}, reading) == drawn[0]);
}

TEST_CASE("side by side, emit() stops all texts") {
  const TinyModel tiny;
  NextToken next(tiny.decoder(), tiny.config, {}, Device::cpu, 2);
  int64_t tokens = 0;
  const auto drawn = generate_side_by_side(next, {kPrompt, kPrompt}, {0, 1}, 9, {},
                                           [&](size_t, int32_t) { return ++tokens < 5; });
  CHECK(drawn[0].size() == 3);
  CHECK(drawn[1].size() == 2);
}

TEST_CASE("texts side by side take half of the memory that is free at most") {
  const TinyModel tiny;
  CHECK(texts_side_by_side(tiny.decoder(), tiny.config, {}, 7, Device::cpu) == 7);
  // Keys and values of 32 tokens in two layers, f32.
  CHECK(tiny.decoder().cache_bytes(32) == 2 * 2 * 32 * tiny.config.model.width * 4);
}

TEST_CASE("reading options outside their ranges are named") {
  const TinyModel tiny;
  const auto refusal = [&](const ReadingOptions& options) {
    return message_of<ConfigError>([&] { continued(tiny, kPrompt, 1, {}, options); });
  };
  CHECK(contains(refusal({.slide = -1}), "slide: -1 is outside 0 … 32"));
  CHECK(contains(refusal({.slide = 33}), "slide"));
  CHECK(contains(refusal({.mode = EvalMode::ensemble, .samples = 0}), "samples: 0"));
  CHECK(contains(refusal({.mode = EvalMode::ensemble, .samples = 65537}), "samples"));
}

TEST_CASE("memory does not grow with the tokens written") {
  const TinyModel tiny;
  const auto mode = GENERATE(EvalMode::renorm, EvalMode::ensemble);
  NextToken next(tiny.decoder(), tiny.config, {.mode = mode, .samples = 3}, Device::cpu);
  std::vector<int64_t> in_use, peaks;
  const auto emit = [&](int32_t) {
    in_use.push_back(host_allocator().stats().total_bytes);
    peaks.push_back(host_allocator().stats().peak_total_bytes);
    return true;
  };
  host_allocator().reset_peaks();
  generate(next, kPrompt, 150, {}, emit);  // several windows
  CHECK(in_use[149] == in_use[0]);
  CHECK(peaks[149] == peaks[60]);
}
