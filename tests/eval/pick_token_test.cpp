#include <cmath>
#include <limits>

#include "ssa/eval/generate.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Probabilities 0.1, 0.4, 0.2, 0.3 at temperature 1.
std::vector<double> scores() {
  return {std::log(0.1), std::log(0.4), std::log(0.2), std::log(0.3)};
}

/// How often each token comes for words spread evenly over their range.
std::vector<double> frequencies(const SamplingOptions& options) {
  constexpr uint32_t kDraws = 4096;
  std::vector<double> result(4, 0.0);
  for (uint32_t i = 0; i < kDraws; ++i) {
    const int32_t token = pick_token(scores(), options, i * (0xffffffffu / kDraws));
    result[static_cast<size_t>(token)] += 1.0 / kDraws;
  }
  return result;
}

void check_close(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == Approx(expected[i]).margin(2e-3));
  }
}

}  // namespace

TEST_CASE("tokens come as often as their probability says") {
  check_close(frequencies({}), {0.1, 0.4, 0.2, 0.3});
}

TEST_CASE("temperature sharpens and flattens, at 0 the likeliest comes always") {
  const double total = 0.01 + 0.16 + 0.04 + 0.09;  // squares
  check_close(frequencies({.temperature = 0.5}),
              {0.01 / total, 0.16 / total, 0.04 / total, 0.09 / total});
  check_close(frequencies({.temperature = 1e6}), {0.25, 0.25, 0.25, 0.25});
  check_close(frequencies({.temperature = 0}), {0, 1, 0, 0});
  check_close(frequencies({.temperature = 1e-3}), {0, 1, 0, 0});
}

TEST_CASE("top-k keeps the k likeliest") {
  check_close(frequencies({.top_k = 1}), {0, 1, 0, 0});
  check_close(frequencies({.top_k = 2}), {0, 4.0 / 7, 0, 3.0 / 7});
  check_close(frequencies({.top_k = 4}), {0.1, 0.4, 0.2, 0.3});
  check_close(frequencies({.top_k = 100}), {0.1, 0.4, 0.2, 0.3});
}

TEST_CASE("top-p keeps the likeliest that reach p together, at least one") {
  check_close(frequencies({.top_p = 0.01}), {0, 1, 0, 0});
  check_close(frequencies({.top_p = 0.39}), {0, 1, 0, 0});
  check_close(frequencies({.top_p = 0.41}), {0, 4.0 / 7, 0, 3.0 / 7});
  check_close(frequencies({.top_p = 0.85}), {0, 4.0 / 9, 2.0 / 9, 3.0 / 9});
  check_close(frequencies({.top_p = 1.0}), {0.1, 0.4, 0.2, 0.3});
  check_close(frequencies({.top_k = 2, .top_p = 0.5}), {0, 1, 0, 0});  // 0.57 of what k left
}

TEST_CASE("the extremes of the random word and of the scores are harmless") {
  for (const uint32_t word : {0u, 0xffffffffu}) {
    CHECK(pick_token(scores(), {.temperature = 0}, word) == 1);
    CHECK(pick_token({1e300, -1e300}, {}, word) == 0);
    CHECK(pick_token({-std::numeric_limits<double>::infinity(), 0.0}, {}, word) == 1);
    CHECK(pick_token({5.0}, {}, word) == 0);
  }
  CHECK(pick_token(scores(), {}, 0) == 1);
  CHECK(pick_token(scores(), {}, 0xffffffffu) == 0);               // the unlikeliest stands last
  CHECK(pick_token({2.0, 2.0, 1.0}, {.temperature = 0}, 7) == 0);  // of equals the first
}

TEST_CASE("of a large vocabulary any token can be drawn") {
  // Token i has weight V - i, so that the likeliest come first.
  constexpr size_t kTokens = 1000;
  std::vector<double> large;
  for (size_t i = 0; i < kTokens; ++i) {
    large.push_back(std::log(static_cast<double>(kTokens - i)));
  }
  const double total = kTokens * (kTokens + 1) / 2.0;
  for (const size_t token : {0, 1, 63, 64, 65, 500, 511, 512, 513, 998, 999}) {
    CAPTURE(token);
    const auto rest = static_cast<double>(kTokens - token);  // the token's weight
    const double before = total - rest * (rest + 1) / 2, middle = (before + rest / 2) / total;
    CHECK(pick_token(large, {}, static_cast<uint32_t>(middle * 0x1p32)) ==
          static_cast<int32_t>(token));
  }
  CHECK(pick_token(large, {.top_k = 700}, 0xffffffffu) == 699);
  CHECK(pick_token(std::vector<double>(kTokens, 1.0), {}, 0) == 0);
  CHECK(pick_token(std::vector<double>(kTokens, 1.0), {}, 0xffffffffu) == 999);
}

TEST_CASE("options outside their ranges are named") {
  const auto refusal = [](const SamplingOptions& options) {
    return message_of<ConfigError>([&] { pick_token(scores(), options, 0); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double temperature : {-1.0, nan, infinity}) {
    CHECK(contains(refusal({.temperature = temperature}), "temperature"));
  }
  for (const double top_p : {0.0, -0.5, 1.5, nan}) {
    CHECK(contains(refusal({.top_p = top_p}), "top-p"));
  }
  CHECK(contains(refusal({.top_k = -1}), "top-k"));
}
