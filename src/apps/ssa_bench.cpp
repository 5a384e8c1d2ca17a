// ssa-bench: measures the parts of the engine, as fractions of the machine's matmul rate.

#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "ssa/sampling/source_plan.h"
#include "ssa/train/model_session.h"

#include "apps/app.h"
#include "apps/bench.h"
#include "apps/whole_number.h"

namespace ssa::bench {
namespace {

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

void add_json(CLI::App& command, Options& options) {
  command.add_option("--json", options.json, "Write the result to a file (- is standard output)");
}

void add_output(CLI::App& command, Options& options) {
  command.add_option("--repeats", options.repeats, "Calls measured; the median counts")
      ->check(whole_number_from(1))
      ->capture_default_str();
  add_json(command, options);
}

void add_config(CLI::App& command, Options& options) {
  command.add_option("--config", options.config, "YAML config")->required();
  command.add_option("--set", options.set, "key=value …: override keys of the config");
}

void add_common(CLI::App& command, Options& options) {
  add_device(command, options);
  command.add_option("--precision", options.precision,
                     "fp32, bf16 or fp16 (default: fp32, for a step the config's)");
  add_output(command, options);
}

CLI::Option* add_size(CLI::App& command, const char* name, int64_t& size, const char* text) {
  return command.add_option(name, size, text)->check(whole_number_from(1))->capture_default_str();
}

void add_plan_sizes(CLI::App& command, Options& options) {
  add_size(command, "--length", options.length, "Positions N");
  add_size(command, "--windows", options.windows, "Windows; 1 is dense");
  command.add_option("--sigma", options.sigma, "σ, a fraction of the length")
      ->capture_default_str();
  command.add_flag("--causal,!--no-causal", options.causal, "Causal windows (default)");
}

void add_attention_options(CLI::App& command, Options& options) {
  add_plan_sizes(command, options);
  add_size(command, "--batch", options.batch, "Sequences");
  add_size(command, "--heads", options.heads, "Heads");
  add_size(command, "--head-size", options.head_size, "Width of a head");
  command.add_option("--bias", options.bias, "Position bias of the logits")
      ->check(CLI::IsMember({"alibi", "relative_2d", "none"}))
      ->capture_default_str();
  const auto add_extent = [&](const char* name, int64_t& extent, const char* text) {
    return command.add_option(name, extent, text)->check(whole_number_from(0));
  };
  CLI::Option* rows =
      add_extent("--grid-rows", options.grid_rows, "Rows of the map of Swin's windows");
  CLI::Option* columns =
      add_extent("--grid-columns", options.grid_columns,
                 "Columns of the grid of positions, which relative_2d and --window need");
  CLI::Option* window =
      add_extent("--window", options.window,
                 "Side of Swin's windows, in place of --length, --windows and --causal");
  window->needs(rows)->needs(columns);
  for (const char* other : {"--length", "--windows", "--causal"}) {
    window->excludes(command.get_option(other));
  }
  rows->needs(window);
  add_extent("--block", options.block, "Side of their sub-windows (default: the window's)")
      ->needs(window);
  add_extent("--shift", options.shift, "Cyclic shift of the windows")->needs(window);
}

void add_graph_options(CLI::App& command, GraphOptions& options) {
  add_size(command, "--graphs", options.graphs, "Graphs");
  command.add_option("--nodes", options.nodes, "LO-HI: nodes of a graph, virtual ones included")
      ->capture_default_str();
  command.add_option("--virtual-nodes", options.virtual_nodes, "Virtual nodes of a graph")
      ->check(whole_number_between(0, 200))
      ->capture_default_str();
  command.add_option("--drop", options.drop, "Part of the real nodes that are no sources")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_size(command, "--heads", options.heads, "Heads");
  add_size(command, "--head-size", options.head_size, "Width of a head");
}

}  // namespace
}  // namespace ssa::bench

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-bench", "Measure the parts of the engine",
                          "  ssa-bench gemm --m 4096 --n 1024 --k 1024\n"
                          "  ssa-bench attention --length 3072 --windows 4\n"
                          "  ssa-bench graph-attention --graphs 128 --nodes 10-26 --drop 0.2\n"
                          "  ssa-bench step --config configs/enwik8_mini_s6_l4.yaml\n"
                          "  ssa-bench step --config configs/enwik8_mini_s6_l4.yaml --compare\n"
                          "  ssa-bench loader --config configs/imagenet_w7_s0.yaml --repeats 20\n"
                          "  ssa-bench plan --length 4096 --windows 4\n"
                          "  mpirun -n 2 ssa-bench collective"};
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
    ssa::bench::add_attention_options(*attention, *options);
    CLI::App* graphs = add("graph-attention", "Attention inside a batch of graphs",
                           ssa::bench::run_graph_attention);
    ssa::bench::add_graph_options(*graphs, options->graph);
    CLI::App* step = add("step", "A whole training step with its breakdown", ssa::bench::run_step);
    ssa::bench::add_config(*step, *options);
    CLI::Option* compare =
        step->add_flag("--compare", options->compare,
                       "Against the same model with dense attention, fused and materialized");
    step->add_flag("--data", options->data,
                   "Train on the first examples of the config's data, not on made-up ones. "
                   "Operations are counted with made-up ones all the same")
        ->excludes(compare);
    ssa::bench::add_plan_sizes(*add("plan", "Drawing one plan", ssa::bench::run_plan), *options);
    CLI::App* loader = app.add_subcommand("loader", "Reading training examples, without training");
    loader->callback([chosen] { *chosen = ssa::bench::run_loader; });
    ssa::bench::add_config(*loader, *options);
    loader->add_option("--repeats", options->repeats, "Steps whose examples are read")
        ->check(ssa::whole_number_from(1))
        ->capture_default_str();
    ssa::bench::add_json(*loader, *options);
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
