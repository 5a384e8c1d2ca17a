// Tests of the attention kernels beyond the table of conformance tests: every head size with a
// kernel, blocks of many warps, invalid positions.

#include "backend/cuda/attention_kernels.h"

#include "backend/naive_attention.h"

namespace ssa {
namespace {

using namespace testing;

/// Makes the device look larger or smaller while it lives.
class OtherDevice {
 public:
  OtherDevice(int multiprocessors, size_t shared_limit) {
    cuda::attention_device().multiprocessors = multiprocessors;
    cuda::attention_device().shared_limit = shared_limit;
  }
  ~OtherDevice() { cuda::attention_device() = before_; }
  OtherDevice(const OtherDevice&) = delete;
  OtherDevice& operator=(const OtherDevice&) = delete;

 private:
  cuda::AttentionDevice before_ = cuda::attention_device();
};

double largest_difference(const Tensor& actual, const Tensor& exact) {
  const Tensor a = for_reference(actual), e = for_reference(exact);
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = e.data<double>()[i];
    if (x != y) worst = std::max(worst, std::isfinite(x - y) ? std::abs(x - y) : INFINITY);
  }
  return worst;
}

/// In f32, fixed bounds; else at most twice the error of attention step by step in that precision.
void check_results(const AttentionInputs& inputs, const AttentionResults& results) {
  const AttentionResults exact = run_on_reference(inputs);
  CHECK(results.intact);
  CHECK(worst_error(results.tensors[1], exact.tensors[1], 1.0) < 1e-5);
  const bool wide = inputs.args.query.dtype() == DType::f32;
  const AttentionResults naive = wide ? exact : NaiveAttention(inputs).run();
  for (size_t i = 0; i < results.tensors.size(); ++i) {
    if (i == 1) continue;
    INFO(kAttentionResultNames[i]);
    const double allowed = wide ? 2e-6 * std::max(largest(exact.tensors[i]), 0.1)
                                : 2 * largest_difference(naive.tensors[i], exact.tensors[i]);
    CHECK(largest_difference(results.tensors[i], exact.tensors[i]) <= allowed);
  }
}

/// With blocks of as many warps as possible, and of one.
void check_case(const AttentionCase& c) {
  INFO(c);
  const AttentionInputs inputs(c);
  AttentionResults many_warps, one_warp;
  {
    const OtherDevice one_multiprocessor(1, cuda::kSharedMemoryEverywhere);
    many_warps = run_on_device(inputs);
  }
  check_results(inputs, many_warps);
  {
    const OtherDevice large(1 << 20, cuda::kSharedMemoryEverywhere);
    one_warp = run_on_device(inputs);
  }
  for (size_t i = 0; i < one_warp.tensors.size(); ++i) {
    INFO(kAttentionResultNames[i]);
    CHECK(same_bits(one_warp.tensors[i], many_warps.tensors[i]));
  }
}

TEST_CASE("cuda attention kernels of every head size agree with the reference") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  for (const int64_t head_size : {32, 40, 64, 96, 128, 256}) {
    check_case({.batch = 1,
                .length = 141,
                .heads = 2,
                .head_size = head_size,
                .sources = Sources::shuffled,
                .sources_per_window = 75,
                .causal = true,
                .alibi = true,
                .dropout = 0.2,
                .dtype = dtype});
  }
}

TEST_CASE("cuda attention blocks of many warps agree with the reference") {
  const DType dtype = GENERATE(DType::bf16, DType::f16);
  // Several blocks of targets and of sources, and gradients that windows share.
  check_case({.batch = 2,
              .length = 402,
              .heads = 1,
              .head_size = 64,
              .sources = Sources::random,
              .windows = 2,
              .sources_per_window = 300,
              .causal = true,
              .dtype = dtype});
  check_case({.batch = 1, .length = 290, .heads = 1, .head_size = 128, .dtype = dtype});
  check_case({.batch = 2,
              .length = 204,
              .heads = 1,
              .head_size = 64,
              .sources = Sources::random,
              .windows = 2,
              .sources_per_window = 150,
              .causal = true,
              .grid_columns = 17,
              .dtype = dtype});
  check_case({.batch = 1,
              .length = 260,
              .heads = 1,
              .head_size = 20,
              .sources = Sources::random,
              .sources_per_window = 199,
              .causal = true,
              .dropout = 0.5,
              .compact = true,
              .dtype = dtype});
}

TEST_CASE("cuda attention takes positions that are none for the first, and reports them") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const auto message_after = [&](int32_t bad, bool target) {
    AttentionInputs inputs({.length = 70, .heads = 2, .head_size = 8, .dtype = dtype});
    Tensor& positions = target ? inputs.args.plan.targets : inputs.args.plan.sources;
    Tensor changed = positions.to(Device::cpu);
    changed.data<int32_t>()[67] = bad;
    positions = changed.to(device_under_test());
    try {
      run_on_device(inputs);  // both passes; results are copied to the host
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(message_after(68, false) == "no error");
  CHECK(message_after(70, false) == "attention: sources has 70 at 67, outside 0 … 69");
  CHECK(message_after(-1, true) == "attention: targets has -1 at 67, outside 0 … 69");
}

}  // namespace
}  // namespace ssa
