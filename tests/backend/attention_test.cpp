#include "backend/attention_cases.h"
#include "backend/naive_attention.h"

namespace ssa {
namespace {

using namespace testing;

// clang-format off
const std::vector<AttentionCase> kCases = {
    {.length = 1},
    {.length = 2, .head_size = 3, .causal = true},
    {.length = 64, .heads = 2, .head_size = 32},
    {.length = 65, .heads = 3, .head_size = 5, .causal = true, .alibi = true},
    {.batch = 1, .length = 200, .heads = 2, .head_size = 33, .causal = true},
    {.batch = 1, .length = 270, .heads = 1, .head_size = 64, .causal = true, .alibi = true},
    {.batch = 1, .length = 330, .heads = 1, .head_size = 24, .alibi = true},
    {.batch = 1, .length = 90, .heads = 2, .head_size = 130, .causal = true},
    {.length = 100, .heads = 2, .head_size = 24, .sources = Sources::unbiased, .causal = true},
    {.batch = 1, .length = 128, .heads = 5, .head_size = 16, .sources = Sources::unbiased, .alibi = true},
    {.length = 192, .heads = 2, .head_size = 32, .sources = Sources::local, .windows = 4, .causal = true, .alibi = true},
    {.batch = 1, .length = 192, .heads = 3, .head_size = 40, .sources = Sources::local, .windows = 2},
    {.length = 90, .heads = 2, .head_size = 17, .sources = Sources::random, .windows = 3, .sources_per_window = 7, .causal = true},
    {.batch = 1, .length = 140, .heads = 2, .head_size = 48, .sources = Sources::random, .windows = 1, .sources_per_window = 97},
    {.batch = 1, .length = 150, .heads = 2, .head_size = 20, .sources = Sources::shuffled, .windows = 2, .sources_per_window = 150, .causal = true, .alibi = true},
    {.length = 66, .heads = 1, .head_size = 8, .sources = Sources::shuffled, .windows = 33, .sources_per_window = 1, .causal = true},
    {.length = 96, .heads = 2, .head_size = 32, .causal = true, .dropout = 0.25},
    {.length = 97, .heads = 2, .head_size = 32, .causal = true, .dropout = 0.1},
    {.length = 120, .heads = 3, .head_size = 24, .sources = Sources::shuffled, .windows = 3, .sources_per_window = 70, .alibi = true, .dropout = 0.5},
    {.length = 90, .heads = 2, .head_size = 24, .sources = Sources::random, .windows = 2, .sources_per_window = 70, .causal = true, .dropout = 0.3},
    {.length = 100, .heads = 2, .head_size = 32, .causal = true, .amplitude = 8},
    {.length = 100, .heads = 2, .head_size = 24, .sources = Sources::unbiased, .causal = true, .compact = true},
    {.length = 70, .heads = 3, .head_size = 33, .sources = Sources::random, .sources_per_window = 31, .causal = true, .alibi = true, .compact = true},
    {.batch = 1, .length = 130, .heads = 2, .head_size = 64, .sources = Sources::shuffled, .sources_per_window = 129, .causal = true, .dropout = 0.2, .compact = true},
    {.length = 65, .heads = 2, .head_size = 20, .causal = true, .alibi = true, .regions = 4},
    {.length = 270, .heads = 1, .head_size = 32, .regions = 3, .regions_by_sequence = true},
    {.length = 90, .heads = 2, .head_size = 17, .sources = Sources::shuffled, .windows = 3, .sources_per_window = 20, .causal = true, .dropout = 0.2, .regions = 9, .regions_by_sequence = true},
};

// More cases for low precision, whose kernels pad and pack differently.
const std::vector<AttentionCase> kHeadSizes = {
    {.length = 33, .heads = 2, .head_size = 1, .causal = true},
    {.length = 33, .heads = 2, .head_size = 31, .causal = true},
    {.length = 96, .heads = 1, .head_size = 63, .alibi = true},
    {.batch = 1, .length = 97, .heads = 2, .head_size = 65, .causal = true, .alibi = true},
    {.batch = 1, .length = 128, .heads = 1, .head_size = 128, .causal = true},
    {.batch = 1, .length = 80, .heads = 1, .head_size = 256, .causal = true, .alibi = true},
    {.batch = 1, .length = 1100, .heads = 1, .head_size = 16, .causal = true, .alibi = true},
};
// clang-format on

TEST_CASE("attention and its gradients equal the reference") {
  for (const AttentionCase& c : kCases) {
    const AttentionInputs inputs(c);
    const AttentionResults exact = run_on_reference(inputs);
    const double largest_logit = largest(exact.tensors[1]);
    for_each_variant([&] {
      INFO(c);
      const AttentionResults results = run_on_device(inputs);
      CHECK(results.intact);
      for (size_t i = 0; i < results.tensors.size(); ++i) {
        INFO(kAttentionResultNames[i]);
        // Rounding errors of logits grow with the logits and become relative errors of weights.
        // Log-sum-exps are at least as large as the logits that matter.
        const double tolerance = 2e-6 * std::max(1.0, largest_logit / 20);
        const double size = i == 1 ? 1.0 : std::max(largest(exact.tensors[i]), 0.1);
        CHECK(worst_error(results.tensors[i], exact.tensors[i], size) < tolerance);
      }
    });
  }
}

/// The largest and the root mean square difference, over finite numbers.
struct Difference {
  double largest = 0, rms = 0;
};
Difference difference(const Tensor& actual, const Tensor& exact) {
  const Tensor a = for_reference(actual), e = for_reference(exact);
  Difference result;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = e.data<double>()[i];
    if (x == y) continue;  // also skips equal infinities
    const double error = std::isfinite(x) ? std::abs(x - y) : INFINITY;
    result.largest = std::max(result.largest, error);
    result.rms += error * error / static_cast<double>(a.numel());
  }
  result.rms = std::sqrt(result.rms);
  return result;
}

void check_low_precision(AttentionCase c, DType low) {
  c.dtype = low;
  const AttentionInputs inputs(c);
  const AttentionResults exact = run_on_reference(inputs);
  const AttentionResults naive = NaiveAttention(inputs).run();
  for_each_variant([&] {
    INFO(c);
    const AttentionResults results = run_on_device(inputs);
    CHECK(results.intact);
    for (const size_t i : {0, 2, 3, 4}) {
      INFO(kAttentionResultNames[i]);
      const Difference error = difference(results.tensors[i], exact.tensors[i]);
      const Difference allowed = difference(naive.tensors[i], exact.tensors[i]);
      // Among few numbers, chance decides whose largest error is smaller.
      const bool few = results.tensors[i].numel() < 64;
      const double floor = few ? 0x1p-8 * largest(exact.tensors[i]) : 1e-5;
      CHECK(error.largest <= 2 * allowed.largest + floor);
      CHECK(error.rms <= 2 * allowed.rms + floor);
    }
    // Logits and log-sum-exps are not rounded.
    CHECK(worst_error(results.tensors[1], exact.tensors[1], 1.0) < 1e-5);
  });
}

TEST_CASE("attention in low precision errs at most twice as much as step by step") {
  for (const DType low : low_precisions()) {
    for (const AttentionCase& c : kCases) check_low_precision(c, low);
    for (const AttentionCase& c : kHeadSizes) check_low_precision(c, low);
  }
}

TEST_CASE("attention gives 0 where nothing is visible, and passes no gradient") {
  const DType dtype = GENERATE(from_range(data_dtypes()));
  // Window 0 samples only the future of its targets, except that position 3 sees itself.
  AttentionInputs inputs(
      {.batch = 1, .length = 6, .heads = 2, .head_size = 4, .causal = true, .dtype = dtype});
  inputs.args.plan.targets = Tensor::from<int32_t>({0, 1, 3, 2, 4, 5}, {2, 3}, device_under_test());
  inputs.args.plan.sources = Tensor::from<int32_t>({3, 5, 0, 1}, {2, 2}, device_under_test());
  const AttentionResults exact = run_on_reference(inputs);
  for_each_variant([&] {
    const AttentionResults results = run_on_device(inputs);
    for (const int64_t target : {0, 1}) {
      for (int64_t k = 0; k < 8; ++k) {
        CHECK(at(results.tensors[0], target * 8 + k) == 0.0);
        CHECK(at(results.tensors[2], target * 8 + k) == 0.0);
      }
      CHECK(at(results.tensors[1], target) == -INFINITY);
    }
    for (const int64_t unsampled : {2, 4, 5}) {  // 5 is sampled, but never visible
      for (int64_t k = 0; k < 8; ++k) {
        CHECK(at(results.tensors[3], unsampled * 8 + k) == 0.0);
        CHECK(at(results.tensors[4], unsampled * 8 + k) == 0.0);
      }
    }
    for (size_t i : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{4}}) {
      const double tolerance = dtype != DType::f32 && i != 1 ? 0.01 : 1e-5;
      CHECK(worst_error(results.tensors[i], exact.tensors[i], 1.0) < tolerance);
    }
  });
}

TEST_CASE("attention passes NaN on to the rows that see it only") {
  const DType dtype = GENERATE(from_range(data_dtypes()));
  AttentionInputs inputs(
      {.batch = 1, .length = 70, .heads = 1, .head_size = 8, .causal = true, .dtype = dtype});
  Tensor key = converted(host(inputs.args.key), DType::f32);
  key.data<float>()[50 * 8] = std::nanf("");
  inputs.args.key = on_device(converted(key, dtype));
  for_each_variant([&] {
    const AttentionResults results = run_on_device(inputs);
    CHECK(std::isfinite(at(results.tensors[0], 49 * 8)));
    CHECK(std::isnan(at(results.tensors[0], 50 * 8)));
    CHECK(std::isnan(at(results.tensors[0], 69 * 8)));
  });
}

TEST_CASE("attention bears logits of thousands") {
  const DType dtype = GENERATE(from_range(data_dtypes()));
  const bool alibi = GENERATE(false, true);
  const AttentionCase c{.batch = 1,
                        .length = 130,
                        .heads = 2,
                        .head_size = 64,
                        .causal = true,
                        .alibi = alibi,
                        .amplitude = 200,
                        .dtype = dtype};
  const AttentionInputs inputs(c);
  const AttentionResults exact = run_on_reference(inputs);
  REQUIRE(largest(exact.tensors[1]) > 1e4);
  for_each_variant([&] {
    INFO(c);
    const AttentionResults results = run_on_device(inputs);
    // Logits of 1e4 are rounded to 1e-3, which is the relative error of weights.
    const double tolerance = dtype != DType::f32 ? 0.02 : 0.01;
    CHECK(worst_error(results.tensors[0], exact.tensors[0], 200.0) < tolerance);
    CHECK(worst_error(results.tensors[1], exact.tensors[1], 1.0) < 1e-6);
    CHECK(worst_error(results.tensors[4], exact.tensors[4], largest(exact.tensors[4])) < tolerance);
    // The other gradients are differences of almost equal numbers.
    for (const size_t i : {2, 3}) {
      INFO(kAttentionResultNames[i]);
      CHECK(std::isfinite(worst_error(results.tensors[i], exact.tensors[i], 1.0)));
    }
  });
}

TEST_CASE("attention says what it lacks and what does not fit") {
  const AttentionCase c{.batch = 1, .length = 8, .heads = 1, .head_size = 4};
  const auto message_with = [&](auto change) {
    AttentionInputs inputs(c);
    inputs.args.out = Tensor::empty({1, 8, 1, 4}, DType::f32, device_under_test());
    inputs.args.lse = Tensor::empty({1, 1, 8}, DType::f32, device_under_test());
    change(inputs.args);
    try {
      tested().attention(inputs.args);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto contains = [](const std::string& text) { return Catch::Contains(text); };
  CHECK(message_with([](AttentionArgs&) {}) == "no error");
  CHECK_THAT(message_with([](AttentionArgs& args) { args.key = args.key.transpose(1, 3); }),
             contains("key has shape"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.dropout.probability = 1.0; }),
             contains("outside [0, 1)"));
  CHECK_THAT(message_with([](AttentionArgs& args) {
               args.compact_sources = true;
               args.plan.sources = Tensor::from<int32_t>({1, 2, 3}, {1, 3}, device_under_test());
             }),
             contains("key has shape (1, 8, 1, 4) instead of (1, 3, 1, 4)"));
  CHECK_THAT(message_with([](AttentionArgs& args) {
               args.compact_sources = true;
               args.plan.targets = args.plan.targets.view({2, 4});
               args.plan.sources = args.plan.sources.view({2, 4});
             }),
             contains("compact sources want a plan of one window, not of 2"));
  CHECK_THAT(message_with([](AttentionArgs& args) {
               args.key = Tensor::empty(args.key.shape(), DType::bf16, device_under_test());
             }),
             contains("key is bf16, but the " + std::string(name(device_under_test())) +
                      " backend needs f32"));
}

}  // namespace
}  // namespace ssa
