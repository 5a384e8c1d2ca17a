#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/backend/backend.h"
#include "ssa/config/config.h"
#include "ssa/sampling/source_plan.h"
#include "ssa/tasks/task.h"

namespace ssa::bench {

/// A batch of graphs.
struct GraphOptions {
  int64_t graphs = 128, heads = 32, head_size = 16, virtual_nodes = 4;
  std::string nodes = "10-26";  // of each graph, virtual ones included
  double drop = 0;              // part of the real nodes that are no sources
};

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
  std::string bias = "alibi";  // or relative_2d, none
  int64_t grid_rows = 0, grid_columns = 0, window = 0, block = 0, shift = 0;
  GraphOptions graph;
  // step, loader
  std::string config;
  std::vector<std::string> set;
  bool compare = false;
  // collective
  int64_t min_bytes = int64_t{4} << 10, max_bytes = int64_t{64} << 20;
};

/// fp32 unless --precision says otherwise. Throws ConfigError if the device does not compute in it.
DType chosen_dtype(const Options& options, Device device);
/// The plan of --length, --windows, --sigma and --causal.
PlanSpec local_spec(const Options& options);

/// Median seconds from a call until the device is done, after one call to warm up.
double median_seconds(int64_t repeats, Device device, const std::function<void()>& call);
/// Seconds of each of `repeats` calls that only queue work on the device, after one call to warm
/// up. Times several calls together by the device's events, so that launch overhead counts only if
/// the device waits for it.
std::vector<double> queued_seconds(int64_t repeats, Device device,
                                   const std::function<void()>& call);
/// Random numbers in ±1, the same in every run.
Tensor random_tensor(const Shape& shape, DType dtype, Device device, uint32_t stream);

/// One matrix product of a step: out (m, n) with sums of length k.
struct Product {
  enum class Kind {
    weights,          ///< data · packed weights: forward, and the gradient of the input
    weight_gradient,  ///< dataᵀ · data, f32 result
  } kind;
  int64_t m, n, k;
  double flop() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};
double product_seconds(const Product& product, DType dtype, Device device, int64_t repeats);
/// The measured peak in FLOP/s: the best rate of the backend's matmul on large squares.
double measured_peak(DType dtype, Device device);

void finish(const Options& options, const nlohmann::json& json);
/// The median; of an even number of values the upper one. `seconds` must not be empty.
double median(std::vector<double> seconds);

/// The config of --config with --set, --precision, and micro_batch resolved.
Config step_config(const Options& options);
/// Attention over one plan, forward and backward.
int run_attention(const Options& options);
/// Attention inside a batch of graphs, forward and backward.
int run_graph_attention(const Options& options);
int run_step(const Options& options);
/// Steps of the config and of the same config with dense attention, each with fused and with
/// materialized attention: C, M and S as the paper counts them.
int run_compare(const Options& options);
/// Reading the training examples of --config.
int run_loader(const Options& options);
/// Collectives among the ranks of this process's job.
int run_collective(const Options& options);

}  // namespace ssa::bench
