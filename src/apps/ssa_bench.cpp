// ssa-bench: how fast the parts are, always as a fraction of what the machine's matmul reaches.

#include <algorithm>
#include <cmath>
#include <iostream>

#include <fmt/format.h>

#include "ssa/models/decoder_plans.h"
#include "ssa/nn/layers.h"
#include "ssa/train/model_session.h"

#include "apps/app.h"
#include "apps/bench.h"

namespace ssa::bench {
namespace {

/// fp32 unless --precision says otherwise. Throws ConfigError if the device does not compute in it.
DType chosen_dtype(const Options& options, Device device) {
  static const std::map<std::string, DType> known = {
      {"", DType::f32}, {"fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}};
  const auto found = known.find(options.precision);
  if (found == known.end()) {
    throw ConfigError("--precision {}: there are fp32, bf16 and fp16", options.precision);
  }
  if (!backend(device).supports(found->second)) {
    throw ConfigError("--precision {}: the {} backend does not compute in it", options.precision,
                      name(device));
  }
  return found->second;
}

int run_gemm(const Options& options) {
  const Device device = device_from_name(options.device);
  const DType dtype = chosen_dtype(options, device);
  const Product product{Product::Kind::weights, options.m, options.n, options.k};
  const double seconds = product_seconds(product, dtype, device, options.repeats);
  const double rate = product.flop() / seconds;
  const double peak = std::max(rate, measured_peak(dtype, device));
  std::cout << fmt::format(
      "gemm {}×{}×{}: {:.3f} ms, {:.1f} GFLOP/s, {:.0f}% of the measured peak\n", options.m,
      options.n, options.k, seconds * 1e3, rate * 1e-9, 100 * rate / peak);
  finish(options, {{"m", options.m},
                   {"n", options.n},
                   {"k", options.k},
                   {"seconds", seconds},
                   {"tflops", rate * 1e-12},
                   {"fraction_of_matmul_peak", rate / peak}});
  return 0;
}

PlanSpec local_spec(const Options& options) {
  PlanSpec spec;
  spec.kind = options.windows > 1 ? PlanKind::local_1d : PlanKind::dense;
  spec.positions = options.length;
  spec.causal = options.causal;
  spec.windows = options.windows;
  spec.sigma = options.sigma;
  validate(spec);
  return spec;
}

int run_attention(const Options& options) {
  const Device device = device_from_name(options.device);
  const DType dtype = chosen_dtype(options, device);
  const Shape shape{options.batch, options.length, options.heads, options.head_size};
  const SourcePlan plan = draw_plan(local_spec(options), RngKey{});
  AttentionBackwardArgs args;
  AttentionArgs& forward = args.forward;
  forward.query = random_tensor(shape, dtype, device, 1);
  forward.key = random_tensor(shape, dtype, device, 2);
  forward.value = random_tensor(shape, dtype, device, 3);
  forward.plan = to_tensors(plan, device);
  forward.scale = 1.0 / std::sqrt(static_cast<double>(options.head_size));
  forward.causal = options.causal;
  forward.alibi_slopes = nn::alibi_slopes(options.heads, device);
  forward.out = Tensor::empty(shape, dtype, device);
  forward.lse = Tensor::empty({options.batch, options.heads, options.length}, DType::f32, device);
  args.grad_out = random_tensor(shape, dtype, device, 4);
  args.grad_query = Tensor::empty(shape, dtype, device);
  args.grad_key = Tensor::empty(shape, dtype, device);
  args.grad_value = Tensor::empty(shape, dtype, device);

  Backend& compute = backend(device);
  const double forward_seconds =
      median_queued_seconds(options.repeats, device, [&] { compute.attention(forward); });
  const double backward_seconds =
      median_queued_seconds(options.repeats, device, [&] { compute.attention_backward(args); });
  // Two products forward, five backward, over all pairs of a window, masked or not.
  const double pairs = static_cast<double>(options.batch * options.heads) *
                       plan.sampled_fraction() * static_cast<double>(options.length) *
                       static_cast<double>(options.length);
  const double forward_rate =
      4.0 * pairs * static_cast<double>(options.head_size) / forward_seconds;
  const double backward_rate =
      10.0 * pairs * static_cast<double>(options.head_size) / backward_seconds;
  const double peak = measured_peak(dtype, device);
  std::cout << fmt::format(
      "attention batch {} length {} heads {} × {} windows {} (operations counted unmasked)\n"
      "forward   {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}% of the measured matmul peak\n"
      "backward  {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}%\n",
      options.batch, options.length, options.heads, options.head_size, options.windows,
      forward_seconds * 1e3, forward_rate * 1e-9, 100 * forward_rate / peak, backward_seconds * 1e3,
      backward_rate * 1e-9, 100 * backward_rate / peak);
  finish(options, {{"batch", options.batch},
                   {"length", options.length},
                   {"heads", options.heads},
                   {"head_size", options.head_size},
                   {"windows", options.windows},
                   {"forward_seconds", forward_seconds},
                   {"backward_seconds", backward_seconds},
                   {"tflops", forward_rate * 1e-12},
                   {"backward_tflops", backward_rate * 1e-12},
                   {"fraction_of_matmul_peak", forward_rate / peak}});
  return 0;
}

int run_plan(const Options& options) {
  const PlanSpec spec = local_spec(options);
  uint32_t step = 0;
  const double seconds = median_seconds(options.repeats, Device::cpu,
                                        [&] { draw_plan(spec, RngKey{.step = step++}); });
  std::cout << fmt::format("plan of {} positions, {} windows, {}: {:.3f} ms a layer\n",
                           options.length, options.windows,
                           options.causal ? "causal" : "not causal", seconds * 1e3);
  finish(options, {{"length", options.length},
                   {"windows", options.windows},
                   {"causal", options.causal},
                   {"seconds", seconds}});
  return 0;
}

void add_device(CLI::App& command, Options& options) {
  command.add_option("--device", options.device, "auto, cpu, cuda or reference")
      ->capture_default_str();
}

void add_output(CLI::App& command, Options& options) {
  command.add_option("--repeats", options.repeats, "Calls measured; the median counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--json", options.json, "Write the result to a file (- is standard output)");
}

void add_common(CLI::App& command, Options& options) {
  add_device(command, options);
  command.add_option("--precision", options.precision,
                     "fp32, bf16 or fp16 (default: fp32, for a step the config's)");
  add_output(command, options);
}

void add_size(CLI::App& command, const char* name, int64_t& size, const char* text) {
  command.add_option(name, size, text)->check(CLI::PositiveNumber)->capture_default_str();
}

void add_plan_sizes(CLI::App& command, Options& options) {
  add_size(command, "--length", options.length, "Positions N");
  add_size(command, "--windows", options.windows, "Windows; 1 is dense");
  command.add_option("--sigma", options.sigma, "σ, a fraction of the length")
      ->capture_default_str();
  command.add_flag("--causal,!--no-causal", options.causal, "Causal windows (default)");
}

}  // namespace
}  // namespace ssa::bench

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-bench", "Measure the parts of the engine",
                          "  ssa-bench gemm --m 4096 --n 1024 --k 1024\n"
                          "  ssa-bench attention --length 3072 --windows 4\n"
                          "  ssa-bench step --config configs/enwik8_mini_s6_l4.yaml\n"
                          "  ssa-bench step --config configs/enwik8_mini_s6_l4.yaml --compare\n"
                          "  ssa-bench plan --length 4096 --windows 4\n"
                          "  mpirun -n 2 ssa-bench collective",
                          false};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::bench::Options>();
    auto chosen = std::make_shared<int (*)(const ssa::bench::Options&)>(nullptr);
    app.require_subcommand(1);
    const auto add = [&](const char* name, const char* text,
                         int (*run)(const ssa::bench::Options&)) {
      CLI::App* command = app.add_subcommand(name, text);
      ssa::bench::add_common(*command, *options);
      command->callback([chosen, run] { *chosen = run; });
      return command;
    };
    CLI::App* gemm = add("gemm", "One matrix product", ssa::bench::run_gemm);
    ssa::bench::add_size(*gemm, "--m", options->m, "Rows of the result");
    ssa::bench::add_size(*gemm, "--n", options->n, "Columns of the result");
    ssa::bench::add_size(*gemm, "--k", options->k, "Length of the sums");
    CLI::App* attention = add("attention", "Attention over one plan", ssa::bench::run_attention);
    ssa::bench::add_plan_sizes(*attention, *options);
    ssa::bench::add_size(*attention, "--batch", options->batch, "Sequences");
    ssa::bench::add_size(*attention, "--heads", options->heads, "Heads");
    ssa::bench::add_size(*attention, "--head-size", options->head_size, "Width of a head");
    CLI::App* step = add("step", "A whole training step with its breakdown", ssa::bench::run_step);
    step->add_option("--config", options->config, "YAML config")->required();
    step->add_option("--set", options->set, "key=value …: override keys of the config");
    step->add_flag("--compare", options->compare,
                   "Against the same model with dense attention, fused and materialized");
    ssa::bench::add_plan_sizes(*add("plan", "Drawing one plan", ssa::bench::run_plan), *options);
    CLI::App* collective = app.add_subcommand("collective", "Sums and exchanges among ranks");
    collective->callback([chosen] { *chosen = ssa::bench::run_collective; });
    ssa::bench::add_size(*collective, "--min-bytes", options->min_bytes, "Smallest buffer");
    ssa::bench::add_size(*collective, "--max-bytes", options->max_bytes,
                         "Largest buffer; each is 4 times the one before");
    ssa::bench::add_device(*collective, *options);
    ssa::bench::add_output(*collective, *options);
    return [options, chosen] { return (*chosen)(*options); };
  });
}
