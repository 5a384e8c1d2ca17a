#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace test;

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
};
// clang-format on

TEST_CASE("cpu attention and its gradients equal the reference") {
  const char* const names[] = {"out", "lse", "grad_query", "grad_key", "grad_value"};
  for (const AttentionCase& c : kCases) {
    const AttentionInputs inputs(c);
    const AttentionResults exact = run_on_reference(inputs);
    const double largest_logit = largest(exact.tensors[1]);
    for_each_isa([&] {
      INFO(c);
      const AttentionResults results = run_on_cpu(inputs);
      CHECK(results.intact);
      for (size_t i = 0; i < results.tensors.size(); ++i) {
        INFO(names[i]);
        // Roundings of the logits grow with them, and come out as relative errors of weights;
        // log-sum-exps are no smaller than the logits that matter.
        const double tolerance = 2e-6 * std::max(1.0, largest_logit / 20);
        const double size = i == 1 ? 1.0 : std::max(largest(exact.tensors[i]), 0.1);
        CHECK(worst_error(results.tensors[i], exact.tensors[i], size) < tolerance);
      }
    });
  }
}

TEST_CASE("cpu attention gives 0 where nothing is visible, and passes no gradient") {
  // Window 0 samples only the future of its targets, except that position 3 sees itself.
  AttentionInputs inputs({.batch = 1, .length = 6, .heads = 2, .head_size = 4, .causal = true});
  inputs.args.plan.targets = Tensor::from<int32_t>({0, 1, 3, 2, 4, 5}, {2, 3}, Device::cpu);
  inputs.args.plan.sources = Tensor::from<int32_t>({3, 5, 0, 1}, {2, 2}, Device::cpu);
  const AttentionResults exact = run_on_reference(inputs);
  for_each_isa([&] {
    const AttentionResults results = run_on_cpu(inputs);
    for (const int64_t target : {0, 1}) {
      for (int64_t k = 0; k < 8; ++k) {
        CHECK(results.tensors[0].data<float>()[target * 8 + k] == 0.0f);
        CHECK(results.tensors[2].data<float>()[target * 8 + k] == 0.0f);
      }
      CHECK(results.tensors[1].data<float>()[target] == -INFINITY);
    }
    for (const int64_t unsampled : {2, 4, 5}) {  // 5 is sampled, but never visible
      for (int64_t k = 0; k < 8; ++k) {
        CHECK(results.tensors[3].data<float>()[unsampled * 8 + k] == 0.0f);
        CHECK(results.tensors[4].data<float>()[unsampled * 8 + k] == 0.0f);
      }
    }
    for (size_t i : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{4}}) {
      CHECK(worst_error(results.tensors[i], exact.tensors[i], 1.0) < 1e-6);
    }
  });
}

TEST_CASE("cpu attention passes NaN on to the rows that see it only") {
  AttentionInputs inputs({.batch = 1, .length = 70, .heads = 1, .head_size = 8, .causal = true});
  Tensor key = Tensor::empty(inputs.args.key.shape(), DType::f32, Device::cpu);
  cpu_backend().copy(inputs.args.key, key);
  key.data<float>()[50 * 8] = std::nanf("");
  inputs.args.key = key;
  for_each_isa([&] {
    const AttentionResults results = run_on_cpu(inputs);
    CHECK(std::isfinite(results.tensors[0].data<float>()[49 * 8]));
    CHECK(std::isnan(results.tensors[0].data<float>()[50 * 8]));
    CHECK(std::isnan(results.tensors[0].data<float>()[69 * 8]));
  });
}

TEST_CASE("cpu attention says what it lacks and what does not fit") {
  const AttentionCase c{.batch = 1, .length = 8, .heads = 1, .head_size = 4};
  const auto message_with = [&](auto change) {
    AttentionInputs inputs(c);
    inputs.args.out = Tensor::empty({1, 8, 1, 4}, DType::f32, Device::cpu);
    inputs.args.lse = Tensor::empty({1, 1, 8}, DType::f32, Device::cpu);
    change(inputs.args);
    try {
      cpu_backend().attention(inputs.args);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto contains = [](const char* text) { return Catch::Contains(text); };
  CHECK(message_with([](AttentionArgs&) {}) == "no error");
  CHECK_THAT(message_with([](AttentionArgs& args) { args.pair_bias = args.query; }),
             contains("no pair bias yet"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.pair_gate = args.query; }),
             contains("no pair gate"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.relative_table = args.query; }),
             contains("no learned 2-D bias"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.logit_clip = 5; }),
             contains("no clipping"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.key = args.key.transpose(1, 3); }),
             contains("key has shape"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.plan.sources.data<int32_t>()[3] = 8; }),
             contains("sources has position 8 at 3, outside 0 … 7"));
  CHECK_THAT(message_with([](AttentionArgs& args) { args.dropout.probability = 1.0; }),
             contains("outside [0, 1)"));
}

}  // namespace
}  // namespace ssa
