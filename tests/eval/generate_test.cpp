#include "ssa/eval/generate.h"

#include <algorithm>

#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const std::vector<int32_t> kPrompt = {kStartByte, 't', 'h', 'e', ' '};

std::vector<int32_t> continued(const TinyModel& tiny, const std::vector<int32_t>& prompt,
                               int64_t count, const SamplingOptions& options,
                               int64_t context = 32) {
  return generate(tiny.session.model(), 2, prompt, count, context, options, Device::cpu);
}

/// The likeliest next byte, found by scoring each.
int32_t likeliest(const TinyModel& tiny, const std::vector<int32_t>& text) {
  const auto plans = draw_plans(dense_plan_specs(2, static_cast<int64_t>(text.size())), RngKey{});
  int32_t best = 0;
  double highest = -1e300;
  for (int32_t byte = 0; byte < 256; ++byte) {
    std::vector<int32_t> targets(text.size(), 0);
    targets.back() = byte;
    const double score = tiny.log_probabilities(text, targets, plans).back();
    if (score > highest) {
      highest = score;
      best = byte;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("at temperature 0 each byte is the likeliest after all that came before") {
  const TinyModel tiny;
  std::vector<int32_t> text = kPrompt;
  for (const int32_t token : continued(tiny, kPrompt, 4, {.temperature = 0})) {
    CHECK(token == likeliest(tiny, text));
    text.push_back(token);
  }
  CHECK(text.size() == kPrompt.size() + 4);
}

TEST_CASE("a seed names a text, another seed another one") {
  const TinyModel tiny;
  const auto text = continued(tiny, kPrompt, 40, {.seed = 4});
  CHECK(text.size() == 40);
  CHECK(std::all_of(text.begin(), text.end(), [](int32_t t) { return t >= 0 && t < 256; }));
  CHECK(continued(tiny, kPrompt, 40, {.seed = 4}) == text);
  CHECK(continued(tiny, kPrompt, 40, {.seed = 5}) != text);
  // The number of tokens asked for changes none of those before.
  CHECK(continued(tiny, kPrompt, 7, {.seed = 4}) ==
        std::vector<int32_t>(text.begin(), text.begin() + 7));
}

TEST_CASE("only the last `context` tokens matter") {
  const TinyModel tiny;
  std::vector<int32_t> longer = {'x', 'y', 'z'};
  longer.insert(longer.end(), kPrompt.begin(), kPrompt.end());
  CHECK(continued(tiny, longer, 12, {.seed = 4}, 5) ==
        continued(tiny, kPrompt, 12, {.seed = 4}, 5));
  CHECK(continued(tiny, longer, 12, {.seed = 4}, 8) !=
        continued(tiny, kPrompt, 12, {.seed = 4}, 8));
}

TEST_CASE("tokens are handed out as they are drawn, until the receiver has enough") {
  const TinyModel tiny;
  std::vector<int32_t> received;
  const auto emit = [&](int32_t token) {
    received.push_back(token);
    return received.size() < 3;
  };
  const auto text = generate(tiny.session.model(), 2, kPrompt, 40, 32, {}, Device::cpu, emit);
  CHECK(text == received);
  CHECK(received.size() == 3);
  CHECK(continued(tiny, kPrompt, 0, {}).empty());
  CHECK_THROWS_AS(continued(tiny, {}, 3, {}), ShapeError);
}
