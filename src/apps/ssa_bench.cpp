// ssa-bench: how fast the parts are, always as a fraction of what the machine's matmul reaches.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>

#include <fmt/format.h>

#include "ssa/backend/profile.h"
#include "ssa/models/cost.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/train/lm_step.h"
#include "ssa/train/memory_plan.h"

#include "apps/app.h"

namespace ssa {
namespace {

struct Options {
  std::string device = "auto";
  std::string precision;  // empty: not given
  std::string json;
  int64_t repeats = 5;
  // gemm
  int64_t m = 1024, n = 1024, k = 1024;
  // attention, plan
  int64_t batch = 4, length = 1024, heads = 8, head_size = 64, windows = 4;
  double sigma = 0.1;
  bool causal = true;
  // step
  std::string config;
  std::vector<std::string> set;
};

/// Median seconds of a call, after one call to warm up.
double median_seconds(int64_t repeats, const std::function<void()>& call) {
  std::vector<double> seconds;
  call();
  for (int64_t i = 0; i < repeats; ++i) {
    const auto started = std::chrono::steady_clock::now();
    call();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

/// Numbers in ±1 that are the same in every run.
Tensor random_tensor(const Shape& shape, Device device, int64_t stream) {
  Tensor tensor = Tensor::empty(shape, DType::f32, device);
  const RngKey key = RngKey{.purpose = RngPurpose::test}.with_stream(stream);
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.data<float>()[i] =
        static_cast<float>(2 * uniform_open(key.word(static_cast<uint64_t>(i))) - 1);
  }
  return tensor;
}

double gemm_seconds(int64_t m, int64_t n, int64_t k, Device device, int64_t repeats) {
  const MatmulArgs args{.a = random_tensor({m, k}, device, 1),
                        .b = random_tensor({n, k}, device, 2),
                        .transpose_b = true,
                        .out = Tensor::empty({m, n}, DType::f32, device)};
  return median_seconds(repeats, [&] { backend(device).matmul(args); });
}

double gemm_flop(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

/// The best that the backend's matmul reaches on large squares: the measured peak, FLOP/s.
double measured_peak(Device device) {
  double best = 0;
  for (const int64_t size : {768, 1536}) {
    best = std::max(best, gemm_flop(size, size, size) / gemm_seconds(size, size, size, device, 3));
  }
  return best;
}

void require_fp32(const Options& options) {
  if (!options.precision.empty() && options.precision != "fp32") {
    throw ConfigError("--precision {}: only fp32 is built so far", options.precision);
  }
}

void finish(const Options& options, const nlohmann::json& json) {
  if (!options.json.empty()) write_json(options.json, json);
}

int run_gemm(const Options& options) {
  require_fp32(options);
  const Device device = device_from_name(options.device);
  const double seconds = gemm_seconds(options.m, options.n, options.k, device, options.repeats);
  const double rate = gemm_flop(options.m, options.n, options.k) / seconds;
  const double peak = std::max(rate, measured_peak(device));
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
  require_fp32(options);
  const Device device = device_from_name(options.device);
  const Shape shape{options.batch, options.length, options.heads, options.head_size};
  const SourcePlan plan = draw_plan(local_spec(options), RngKey{});
  AttentionBackwardArgs args;
  AttentionArgs& forward = args.forward;
  forward.query = random_tensor(shape, device, 1);
  forward.key = random_tensor(shape, device, 2);
  forward.value = random_tensor(shape, device, 3);
  forward.plan = to_tensors(plan, device);
  forward.scale = 1.0 / std::sqrt(static_cast<double>(options.head_size));
  forward.causal = options.causal;
  forward.alibi_slopes = nn::alibi_slopes(options.heads, device);
  forward.out = Tensor::empty(shape, DType::f32, device);
  forward.lse = Tensor::empty({options.batch, options.heads, options.length}, DType::f32, device);
  args.grad_out = random_tensor(shape, device, 4);
  args.grad_query = Tensor::empty(shape, DType::f32, device);
  args.grad_key = Tensor::empty(shape, DType::f32, device);
  args.grad_value = Tensor::empty(shape, DType::f32, device);

  Backend& compute = backend(device);
  const double forward_seconds =
      median_seconds(options.repeats, [&] { compute.attention(forward); });
  const double backward_seconds =
      median_seconds(options.repeats, [&] { compute.attention_backward(args); });
  // Two products forward, five backward, over all pairs of a window, masked or not.
  const double pairs = static_cast<double>(options.batch * options.heads) *
                       plan.sampled_fraction() * static_cast<double>(options.length) *
                       static_cast<double>(options.length);
  const double forward_rate =
      4.0 * pairs * static_cast<double>(options.head_size) / forward_seconds;
  const double backward_rate =
      10.0 * pairs * static_cast<double>(options.head_size) / backward_seconds;
  const double peak = measured_peak(device);
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
  const double seconds =
      median_seconds(options.repeats, [&] { draw_plan(spec, RngKey{.step = step++}); });
  std::cout << fmt::format("plan of {} positions, {} windows, {}: {:.3f} ms a layer\n",
                           options.length, options.windows,
                           options.causal ? "causal" : "not causal", seconds * 1e3);
  finish(options, {{"length", options.length},
                   {"windows", options.windows},
                   {"causal", options.causal},
                   {"seconds", seconds}});
  return 0;
}

/// Bytes that look random: the speed of a step does not depend on them.
LmBatch random_batch(const Config& config) {
  LmBatch batch{config.train.batch_size, config.data.length, {}, {}};
  const RngKey key{.purpose = RngPurpose::test};
  const auto count = static_cast<uint64_t>(batch.sequences * batch.length);
  for (uint64_t i = 0; i < count; ++i) {
    batch.inputs.push_back(static_cast<int32_t>(key.word(i) & 0xff));
    batch.targets.push_back(static_cast<int32_t>(key.word(i + 1) & 0xff));
  }
  return batch;
}

int run_step(const Options& options) {
  if (options.config.empty()) throw ConfigError("ssa-bench step needs --config FILE");
  std::vector<std::string> overrides = options.set;
  if (!options.precision.empty()) {
    overrides.push_back("train.precision=" + options.precision);
  }
  Config config = load_config(options.config, overrides);
  config.train.micro_batch = resolve_micro_batch(config);
  const Device device = device_from_name(options.device);
  const double peak = measured_peak(device);
  LmSession session(config, device);
  Optimizer optimizer(config.train.optimizer, session.parameters());
  const LmBatch batch = random_batch(config);
  int64_t step = 0;
  double plan_seconds = 0;
  BackendProfile profile(device);
  host_allocator().reset_peaks();
  const auto one_step = [&] {
    const auto started = std::chrono::steady_clock::now();
    const auto plans = plans_of_step(config, 0);
    plan_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    lm_train_step(config, session, optimizer, step++, batch, plans);
    if (step == 1) {  // the first step warms up
      profile.reset();
      plan_seconds = 0;
    }
  };
  const double seconds = median_seconds(options.repeats, one_step);
  const double tokens = static_cast<double>(config.train.batch_size * config.data.length);
  // Backward costs twice the forward pass.
  const double rate = 3 * training_cost(config).forward_flop_per_token * tokens / seconds;
  const auto per_step = static_cast<double>(options.repeats);
  nlohmann::json breakdown = {{"plans (drawn ahead in training)", plan_seconds / per_step}};
  for (const auto& [part, total] : profile.seconds()) breakdown[part] = total / per_step;
  const int64_t peak_bytes = host_allocator().stats().peak_total_bytes;

  std::cout << fmt::format(
      "step {:.3f} s, {:.0f} tokens/s, peak {:.0f} MiB (predicted {:.0f}), {:.0f}% of the measured "
      "matmul peak ({:.1f} GFLOP/s)\n",
      seconds, tokens / seconds, static_cast<double>(peak_bytes) / 0x1p20,
      static_cast<double>(plan_memory(config, config.train.micro_batch).total()) / 0x1p20,
      100 * rate / peak, peak * 1e-9);
  std::vector<std::pair<std::string, double>> parts;
  for (const auto& [part, value] : breakdown.items()) parts.push_back({part, value});
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [part, value] : parts) {
    std::cout << fmt::format("  {:32} {:9.3f} ms  {:5.1f}%\n", part, value * 1e3,
                             100 * value / seconds);
  }
  finish(options, {{"tokens_per_second", tokens / seconds},
                   {"step_seconds", seconds},
                   {"peak_memory_bytes", peak_bytes},
                   {"fraction_of_matmul_peak", rate / peak},
                   {"breakdown", breakdown}});
  return 0;
}

void add_common(CLI::App& command, Options& options) {
  command.add_option("--device", options.device, "auto, cpu, cuda or reference")
      ->capture_default_str();
  command.add_option("--precision", options.precision,
                     "fp32 (bf16, fp16: not built yet; default: fp32, for a step the config's)");
  command.add_option("--repeats", options.repeats, "Calls measured; the median counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--json", options.json, "Write the result to a file (- is standard output)");
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
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-bench", "Measure the parts of the engine",
                          "  ssa-bench gemm --m 4096 --n 1024 --k 1024\n"
                          "  ssa-bench attention --length 3072 --windows 4\n"
                          "  ssa-bench step --config configs/enwik8_mini_s6_l4.yaml\n"
                          "  ssa-bench plan --length 4096 --windows 4",
                          false};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    auto chosen = std::make_shared<int (*)(const ssa::Options&)>(nullptr);
    app.require_subcommand(1);
    const auto add = [&](const char* name, const char* text, int (*run)(const ssa::Options&)) {
      CLI::App* command = app.add_subcommand(name, text);
      ssa::add_common(*command, *options);
      command->callback([chosen, run] { *chosen = run; });
      return command;
    };
    CLI::App* gemm = add("gemm", "One matrix product", ssa::run_gemm);
    ssa::add_size(*gemm, "--m", options->m, "Rows of the result");
    ssa::add_size(*gemm, "--n", options->n, "Columns of the result");
    ssa::add_size(*gemm, "--k", options->k, "Length of the sums");
    CLI::App* attention = add("attention", "Attention over one plan", ssa::run_attention);
    ssa::add_plan_sizes(*attention, *options);
    ssa::add_size(*attention, "--batch", options->batch, "Sequences");
    ssa::add_size(*attention, "--heads", options->heads, "Heads");
    ssa::add_size(*attention, "--head-size", options->head_size, "Width of a head");
    CLI::App* step = add("step", "A whole training step with its breakdown", ssa::run_step);
    step->add_option("--config", options->config, "YAML config")->required();
    step->add_option("--set", options->set, "key=value …: override keys of the config");
    ssa::add_plan_sizes(*add("plan", "Drawing one plan", ssa::run_plan), *options);
    return [options, chosen] { return (*chosen)(*options); };
  });
}
