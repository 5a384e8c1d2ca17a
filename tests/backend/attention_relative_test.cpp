// Attention with a learned 2-D bias.

#include "backend/naive_attention.h"

namespace ssa {
namespace {

using namespace testing;

// clang-format off
const std::vector<AttentionCase> kCases = {
    {.length = 1, .grid_columns = 1},
    {.batch = 3, .length = 12, .heads = 2, .head_size = 3, .causal = true, .grid_columns = 4},
    {.length = 65, .heads = 3, .head_size = 5, .causal = true, .alibi = true, .grid_columns = 9},
    {.length = 49, .heads = 2, .head_size = 32, .grid_columns = 7},
    {.length = 96, .heads = 2, .head_size = 64, .sources = Sources::random, .windows = 3, .sources_per_window = 40, .causal = true, .grid_columns = 12},
    {.batch = 1, .length = 150, .heads = 2, .head_size = 20, .sources = Sources::shuffled, .windows = 2, .sources_per_window = 150, .grid_columns = 10},
    {.length = 90, .heads = 2, .head_size = 24, .sources = Sources::random, .windows = 2, .sources_per_window = 70, .causal = true, .dropout = 0.3, .grid_columns = 30},
    {.length = 70, .heads = 3, .head_size = 33, .sources = Sources::random, .sources_per_window = 31, .causal = true, .compact = true, .grid_columns = 7},
    {.batch = 1, .length = 60, .heads = 1, .head_size = 128, .causal = true, .grid_columns = 60},
    {.batch = 1, .length = 40, .heads = 1, .head_size = 256, .grid_columns = 8},
    // With a table smaller than the grid, pairs outside it are masked, and some targets see
    // nothing.
    {.length = 96, .heads = 3, .head_size = 32, .grid_columns = 12, .relative_rows = 3, .relative_columns = 5},
    {.length = 96, .heads = 2, .head_size = 24, .sources = Sources::shuffled, .windows = 4, .sources_per_window = 24, .grid_columns = 12, .relative_rows = 4, .relative_columns = 4},
    {.batch = 1, .length = 330, .heads = 1, .head_size = 40, .causal = true, .alibi = true, .grid_columns = 33, .relative_rows = 2, .relative_columns = 33},
    {.length = 70, .heads = 2, .head_size = 16, .causal = true, .dropout = 0.2, .grid_columns = 7, .relative_rows = 20, .relative_columns = 9},
    {.length = 192, .heads = 1, .head_size = 17, .sources = Sources::local, .windows = 4, .causal = true, .grid_columns = 16, .relative_rows = 5, .relative_columns = 16},
    {.length = 70, .heads = 2, .head_size = 33, .sources = Sources::random, .sources_per_window = 31, .compact = true, .grid_columns = 7, .relative_rows = 2, .relative_columns = 3, .regions = 3},
    {.batch = 3, .length = 98, .heads = 2, .head_size = 32, .sources = Sources::shuffled, .windows = 2, .sources_per_window = 49, .grid_columns = 14, .relative_rows = 7, .relative_columns = 7, .regions = 2, .regions_by_sequence = true},
    // Windows that share shapes: one, four, and four with regions on top.
    {.batch = 1, .length = 180, .heads = 2, .head_size = 32, .sources = Sources::swin, .grid_columns = 15, .relative_rows = 3, .relative_columns = 5},
    {.length = 400, .heads = 3, .head_size = 7, .sources = Sources::swin, .grid_columns = 20, .relative_rows = 5, .relative_columns = 5, .shift = 2},
    {.batch = 1, .length = 972, .heads = 1, .head_size = 32, .sources = Sources::swin, .grid_columns = 27, .relative_rows = 9, .relative_columns = 9, .regions = 2, .shift = 4},
};
// Windows that sample a few of their cells. With a shift some targets see none of them: none of the
// sampled cells is in their part of a window that wraps around an edge.
const std::vector<AttentionCase> kUnbiasedWindows = {
    {.length = 144, .heads = 2, .head_size = 24, .sources = Sources::unbiased_swin, .grid_columns = 12, .relative_rows = 6, .relative_columns = 6, .drop = 0.75},
    {.length = 144, .heads = 3, .head_size = 32, .sources = Sources::unbiased_swin, .grid_columns = 12, .relative_rows = 6, .relative_columns = 6, .shift = 3, .drop = 0.9},
    {.batch = 1, .length = 400, .heads = 2, .head_size = 7, .sources = Sources::unbiased_swin, .grid_columns = 20, .relative_rows = 5, .relative_columns = 10, .shift = 2, .drop = 0.95},
};
// Cells of several positions each, told apart or not: whole rows, parts of a row at the end, less
// than a row, tables larger and smaller than the grid.
const std::vector<AttentionCase> kChannels = {
    {.length = 48, .heads = 2, .head_size = 32, .causal = true, .grid_columns = 4, .grid_channels = 3},
    {.length = 48, .heads = 2, .head_size = 32, .causal = true, .grid_columns = 4, .grid_channels = 3, .relative_channels = 3},
    {.length = 131, .heads = 3, .head_size = 20, .causal = true, .alibi = true, .grid_columns = 7, .grid_channels = 3},
    {.length = 131, .heads = 3, .head_size = 20, .causal = true, .alibi = true, .grid_columns = 7, .grid_channels = 3, .relative_channels = 3},
    {.length = 190, .heads = 2, .head_size = 17, .sources = Sources::random, .windows = 2, .sources_per_window = 70, .causal = true, .dropout = 0.3, .grid_columns = 19, .grid_channels = 5},
    {.length = 190, .heads = 2, .head_size = 17, .sources = Sources::random, .windows = 2, .sources_per_window = 70, .causal = true, .dropout = 0.3, .grid_columns = 19, .grid_channels = 5, .relative_channels = 5},
    {.batch = 1, .length = 96, .heads = 2, .head_size = 40, .sources = Sources::shuffled, .windows = 4, .sources_per_window = 24, .grid_columns = 6, .relative_rows = 4, .relative_columns = 2, .grid_channels = 2},
    {.batch = 1, .length = 96, .heads = 2, .head_size = 40, .sources = Sources::shuffled, .windows = 4, .sources_per_window = 24, .grid_columns = 6, .relative_rows = 4, .relative_columns = 2, .grid_channels = 2, .relative_channels = 2},
    {.length = 10, .heads = 1, .head_size = 9, .grid_columns = 8, .relative_rows = 3, .relative_columns = 9, .grid_channels = 3},
    {.length = 10, .heads = 1, .head_size = 9, .grid_columns = 8, .relative_rows = 3, .relative_columns = 9, .grid_channels = 3, .relative_channels = 3},
    {.length = 72, .heads = 2, .head_size = 33, .sources = Sources::random, .sources_per_window = 31, .compact = true, .grid_columns = 6, .grid_channels = 4, .relative_channels = 4, .regions = 3},
};
// clang-format on

std::vector<AttentionCase> all_cases() {
  std::vector<AttentionCase> all = kCases;
  for (const auto& more : {kUnbiasedWindows, kChannels}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

TEST_CASE("attention with a learned 2-D bias and its gradients equal the reference") {
  for (const AttentionCase& c : all_cases()) {
    const AttentionInputs inputs(c);
    const AttentionResults exact = run_on_reference(inputs);
    AttentionResults first;
    for_each_variant([&] {
      INFO(c);
      const AttentionResults results = run_on_device(inputs);
      CHECK(results.intact);
      REQUIRE(results.tensors.size() == 6);
      // CPU instruction sets round differently, so each is compared with a second run of its own.
      const bool alike = device_under_test() != Device::cpu;
      if (!alike || first.tensors.empty()) first = alike ? results : run_on_device(inputs);
      for (size_t i = 0; i < results.tensors.size(); ++i) {
        INFO(kAttentionResultNames[i]);
        const double size = i == 1 ? 1.0 : std::max(largest(exact.tensors[i]), 0.1);
        CHECK(worst_error(results.tensors[i], exact.tensors[i], size) < 2e-6);
        CHECK(same_bits(results.tensors[i], first.tensors[i]));
      }
    });
  }
}

TEST_CASE("attention with a learned 2-D bias in low precision errs no more than step by step") {
  const DType low = GENERATE(from_range(low_precisions()));
  for (AttentionCase c : all_cases()) {
    c.dtype = low;
    const AttentionInputs inputs(c);
    const AttentionResults exact = run_on_reference(inputs);
    const AttentionResults naive = NaiveAttention(inputs).run();
    for_each_variant([&] {
      INFO(c);
      const AttentionResults results = run_on_device(inputs);
      CHECK(results.intact);
      CHECK(worst_error(results.tensors[1], exact.tensors[1], 1.0) < 1e-5);
      for (const size_t i : {0, 2, 3, 4, 5}) {
        INFO(kAttentionResultNames[i]);
        const double size = largest(exact.tensors[i]);
        CHECK(worst_error(results.tensors[i], exact.tensors[i], size) <=
              2 * worst_error(naive.tensors[i], exact.tensors[i], size) + 0x1p-9);
      }
    });
  }
}

TEST_CASE(
    "targets whose part of a shifted window has no sampled source get 0 and pass nothing on") {
  for (const AttentionCase& c : {kUnbiasedWindows[1], kUnbiasedWindows[2]}) {
    const SourcePlan plan = make_plan(c);
    const auto visible = [&](int64_t target, int64_t source) {
      return std::abs(target / c.grid_columns - source / c.grid_columns) < c.relative_rows &&
             std::abs(target % c.grid_columns - source % c.grid_columns) < c.relative_columns;
    };
    const AttentionInputs inputs(c);
    for_each_variant([&] {
      INFO(c);
      const AttentionResults results = run_on_device(inputs);
      int64_t blind = 0;
      for (int64_t t = 0; t < c.length; ++t) {
        const int64_t target = plan.targets[static_cast<size_t>(t)];
        const auto first =
            plan.sources.begin() + t / plan.targets_per_window * plan.sources_per_window;
        if (std::any_of(first, first + plan.sources_per_window,
                        [&](int32_t source) { return visible(target, source); })) {
          continue;
        }
        ++blind;
        for (int64_t i = 0; i < c.heads * c.head_size; ++i) {
          const int64_t element = target * c.heads * c.head_size + i;
          CHECK(at(results.tensors[0], element) == 0.0);  // out
          CHECK(at(results.tensors[2], element) == 0.0);  // grad_query
        }
        CHECK(at(results.tensors[1], target) == -INFINITY);  // lse
      }
      CHECK(blind > 0);
      CHECK(blind < c.length / 2);
    });
  }
}

TEST_CASE("the gradient of a learned 2-D bias has a table to belong to") {
  AttentionInputs inputs({.length = 6, .grid_columns = 3});
  inputs.args.relative_table = {};
  CHECK_THROWS_WITH(run_on_device(inputs),
                    Catch::Contains("grad_relative_table without a relative_table"));
}

}  // namespace
}  // namespace ssa
