// ssa-bench attention: forward and backward over one plan.

#include <algorithm>
#include <cmath>
#include <iostream>

#include <fmt/format.h>

#include "ssa/models/decoder_plans.h"
#include "ssa/nn/layers.h"
#include "ssa/train/model_session.h"

#include "apps/bench.h"

namespace ssa::bench {

namespace {

/// Swin's windows on a map.
PlanSpec window_spec(const Options& options) {
  PlanSpec spec;
  spec.kind = PlanKind::swin_windows;
  spec.rows = options.grid_rows;
  spec.columns = options.grid_columns;
  spec.positions = spec.rows * spec.columns;
  spec.window_rows = spec.window_columns = options.window;
  spec.block_rows = spec.block_columns = options.block > 0 ? options.block : options.window;
  spec.shift_rows = spec.shift_columns = options.shift;
  spec.sigma = spec.sigma_columns = options.sigma;
  validate(spec);
  return spec;
}

/// Sets the relative bias's table, and the buffer for its gradient.
void set_relative_bias(const Options& options, int64_t positions, AttentionBackwardArgs& args) {
  AttentionArgs& forward = args.forward;
  const int64_t columns = options.grid_columns;
  if (columns == 0) throw ConfigError("--bias relative_2d: it needs --grid-columns");
  if (columns > positions) {
    throw ConfigError("--grid-columns {}: there are only {} positions", columns, positions);
  }
  const Device device = forward.query.device();
  forward.grid_columns = columns;
  forward.relative_rows = options.window > 0 ? options.window : (positions + columns - 1) / columns;
  forward.relative_columns = options.window > 0 ? options.window : columns;
  const Shape shape{(2 * forward.relative_rows - 1) * (2 * forward.relative_columns - 1),
                    options.heads};
  forward.relative_table = random_tensor(shape, DType::f32, device, 5);
  args.grad_relative_table = Tensor::zeros(shape, DType::f32, device);
}

AttentionBackwardArgs make_arguments(const Options& options, const PlanSpec& spec,
                                     const SourcePlan& plan, DType dtype, Device device) {
  const Shape shape{options.batch, spec.positions, options.heads, options.head_size};
  AttentionBackwardArgs args;
  AttentionArgs& forward = args.forward;
  forward.query = random_tensor(shape, dtype, device, 1);
  forward.key = random_tensor(shape, dtype, device, 2);
  forward.value = random_tensor(shape, dtype, device, 3);
  forward.plan = to_tensors(plan, device);
  forward.scale = 1.0 / std::sqrt(static_cast<double>(options.head_size));
  forward.causal = spec.causal;
  if (options.bias == "alibi") forward.alibi_slopes = nn::alibi_slopes(options.heads, device);
  if (options.bias == "relative_2d") set_relative_bias(options, spec.positions, args);
  forward.out = Tensor::empty(shape, dtype, device);
  forward.lse = Tensor::empty({options.batch, options.heads, spec.positions}, DType::f32, device);
  args.grad_out = random_tensor(shape, dtype, device, 4);
  args.grad_query = Tensor::empty(shape, dtype, device);
  args.grad_key = Tensor::empty(shape, dtype, device);
  args.grad_value = Tensor::empty(shape, dtype, device);
  return args;
}

}  // namespace

int run_attention(const Options& options) {
  const Device device = device_from_name(options.device);
  const DType dtype = chosen_dtype(options, device);
  const PlanSpec spec = options.window > 0 ? window_spec(options) : local_spec(options);
  const SourcePlan plan = draw_plan(spec, RngKey{});
  AttentionBackwardArgs args = make_arguments(options, spec, plan, dtype, device);

  Backend& compute = backend(device);
  const std::vector<double> forward_calls =
      queued_seconds(options.repeats, device, [&] { compute.attention(args.forward); });
  const std::vector<double> backward_calls =
      queued_seconds(options.repeats, device, [&] { compute.attention_backward(args); });
  const double forward_seconds = median(forward_calls), backward_seconds = median(backward_calls);
  // Two matrix products forward and five backward, over all pairs of a window, masked ones too.
  const double pairs = static_cast<double>(options.batch * options.heads * plan.windows *
                                           plan.targets_per_window * plan.sources_per_window);
  const double forward_rate =
      4.0 * pairs * static_cast<double>(options.head_size) / forward_seconds;
  const double backward_rate =
      10.0 * pairs * static_cast<double>(options.head_size) / backward_seconds;
  const double peak = measured_peak(dtype, device);
  std::cout << fmt::format(
      "attention batch {} length {} heads {} × {} windows {} bias {} (operations counted "
      "unmasked)\n"
      "forward   {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}% of the measured matmul peak\n"
      "backward  {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}%\n",
      options.batch, spec.positions, options.heads, options.head_size, plan.windows, options.bias,
      forward_seconds * 1e3, forward_rate * 1e-9, 100 * forward_rate / peak, backward_seconds * 1e3,
      backward_rate * 1e-9, 100 * backward_rate / peak);
  finish(options, {{"batch", options.batch},
                   {"length", spec.positions},
                   {"heads", options.heads},
                   {"head_size", options.head_size},
                   {"windows", plan.windows},
                   {"bias", options.bias},
                   {"forward_seconds", forward_seconds},
                   {"backward_seconds", backward_seconds},
                   {"least_forward_seconds", std::ranges::min(forward_calls)},
                   {"least_backward_seconds", std::ranges::min(backward_calls)},
                   {"tflops", forward_rate * 1e-12},
                   {"backward_tflops", backward_rate * 1e-12},
                   {"fraction_of_matmul_peak", forward_rate / peak}});
  return 0;
}

}  // namespace ssa::bench
