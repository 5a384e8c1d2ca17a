// Tests of CPU attention beyond the table of conformance tests.

#include <omp.h>

#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace testing;

TEST_CASE("cpu attention gives the same bits for any number of threads") {
  // One head: threads share its windows, and chunks of its targets.
  const int64_t grid_columns = GENERATE(0, 50);
  const AttentionCase c{.batch = 1,
                        .length = 1300,
                        .heads = 1,
                        .head_size = 24,
                        .sources = GENERATE(Sources::dense, Sources::shuffled),
                        .windows = 4,
                        .sources_per_window = 700,
                        .causal = true,
                        .alibi = true,
                        .dropout = 0.1,
                        .grid_columns = grid_columns,
                        .relative_rows = 9,
                        .relative_columns = 40,
                        .regions = grid_columns > 0 ? 2 : 0,
                        .dtype = GENERATE(DType::f32, DType::bf16)};
  const AttentionInputs inputs(c);
  const int before = omp_get_max_threads();
  for_each_variant([&] {
    omp_set_num_threads(1);
    const AttentionResults alone = run_on_device(inputs);
    for (const int threads : {2, 3, 8}) {
      INFO(c << ", " << threads << " threads");
      omp_set_num_threads(threads);
      const AttentionResults together = run_on_device(inputs);
      for (size_t i = 0; i < alone.tensors.size(); ++i) {
        INFO(kAttentionResultNames[i]);
        CHECK(same_bits(alone.tensors[i], together.tensors[i]));
      }
    }
  });
  omp_set_num_threads(before);
}

TEST_CASE("cpu attention says which position of a plan does not exist") {
  AttentionInputs inputs({.batch = 1, .length = 8, .heads = 1, .head_size = 4});
  inputs.args.out = Tensor::empty({1, 8, 1, 4}, DType::f32, Device::cpu);
  inputs.args.lse = Tensor::empty({1, 1, 8}, DType::f32, Device::cpu);
  inputs.args.plan.sources.data<int32_t>()[3] = 8;
  CHECK_THROWS_WITH(tested().attention(inputs.args),
                    Catch::Contains("sources has 8 at 3, outside 0 … 7"));
}

TEST_CASE("cpu attention that reads on says which target does not belong to it") {
  AttentionInputs inputs({.batch = 1, .length = 80, .heads = 1, .head_size = 4});
  AttentionArgs& args = inputs.args;
  args.query_start = 70;
  args.query = args.query.slice(1, 70, 2);
  args.key = args.key.slice(1, 0, 72);
  args.value = args.value.slice(1, 0, 72);
  args.out = Tensor::empty({1, 2, 1, 4}, DType::f32, Device::cpu);
  args.lse = Tensor::empty({1, 1, 2}, DType::f32, Device::cpu);
  args.plan.sources = args.plan.sources.slice(1, 0, 72);
  args.plan.targets = args.plan.targets.slice(1, 69, 2);
  CHECK_THROWS_WITH(tested().attention(args), Catch::Contains("outside 70 … 71"));
}

}  // namespace
}  // namespace ssa
