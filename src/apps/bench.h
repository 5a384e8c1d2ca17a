#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/backend/backend.h"
#include "ssa/config/config.h"
#include "ssa/sampling/source_plan.h"
#include "ssa/tasks/task.h"

#include "apps/measure.h"

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
  bool compare = false, data = false;
  // collective
  int64_t min_bytes = int64_t{4} << 10, max_bytes = int64_t{64} << 20;
};

/// fp32 unless --precision says otherwise. Throws ConfigError if the device does not compute in it.
DType chosen_dtype(const Options& options, Device device);
/// The plan of --length, --windows, --sigma and --causal.
PlanSpec local_spec(const Options& options);

void finish(const Options& options, const nlohmann::json& json);
/// The config of --config with --set, --precision, what the data know, if they are open, and
/// micro_batch resolved.
Config step_config(const Options& options, const TaskData* data = nullptr);
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
