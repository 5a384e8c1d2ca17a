// ssa-bench graph-attention: forward and backward inside a batch of graphs.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "ssa/core/philox.h"
#include "ssa/train/model_session.h"

#include "apps/bench.h"

namespace ssa::bench {

namespace {

constexpr int64_t kMostNodes = 4096;
constexpr int64_t kDistances = 18;  // of real nodes, as in EGT; virtual nodes have classes beyond

struct Range {
  int64_t least, most;
};

/// "LO-HI", or one number for both.
Range parse_range(const std::string& text) {
  const auto number = [&](const std::string& part) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || value < 1 ||
        value > kMostNodes) {
      throw ConfigError("--nodes {}: should be LO-HI, two numbers of 1 to {}", text, kMostNodes);
    }
    return value;
  };
  const size_t dash = text.find('-');
  const Range range{number(text.substr(0, dash)),
                    number(dash == std::string::npos ? text : text.substr(dash + 1))};
  if (range.least > range.most) {
    throw ConfigError("--nodes {}: {} is more than {}", text, range.least, range.most);
  }
  return range;
}

/// Throws ConfigError for what GraphAttentionArgs cannot hold: it counts pairs of nodes in an
/// int32.
void require_countable(const GraphOptions& options, int64_t most_nodes) {
  const double pairs = static_cast<double>(options.graphs) * static_cast<double>(most_nodes) *
                       static_cast<double>(most_nodes);
  constexpr int32_t kMostPairs = std::numeric_limits<int32_t>::max();
  if (pairs <= kMostPairs) return;
  throw ConfigError(
      "--graphs {}, --nodes {}: up to {:.3g} pairs of nodes, but a batch has {} at most; lower "
      "--graphs or --nodes",
      options.graphs, options.nodes, pairs, kMostPairs);
}

/// A batch of graphs, packed as GraphAttentionArgs wants it. Every graph is a chain with virtual
/// nodes in front.
struct GraphBatch {
  std::vector<int32_t> sizes, nodes{0}, sampled{0}, sources, pairs{0};
  std::vector<uint8_t> classes;

  explicit GraphBatch(const GraphOptions& options) {
    const Range range = parse_range(options.nodes);
    require_countable(options, range.most);
    const RngKey key{.purpose = RngPurpose::test};
    for (int64_t g = 0; g < options.graphs; ++g) {
      const auto extent = static_cast<double>(range.most - range.least + 1);
      const double draw = uniform_open(key.word(static_cast<uint64_t>(g)));
      add_graph(range.least + static_cast<int64_t>(draw * extent), options, key.with_stream(g + 1));
    }
  }
  int64_t rows() const { return nodes.back(); }
  int64_t keys() const { return sampled.back(); }
  /// Pairs of a target and a source.
  int64_t attended_pairs() const {
    int64_t total = 0;
    for (size_t g = 0; g < sizes.size(); ++g) {
      total += int64_t{sizes[g]} * (sampled[g + 1] - sampled[g]);
    }
    return total;
  }

 private:
  void add_graph(int64_t size, const GraphOptions& options, const RngKey& key) {
    const int64_t virtual_nodes = std::min(options.virtual_nodes, size);
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t j = 0; j < size; ++j) {
        const int64_t first = std::min(i, j);
        const int64_t pair_class =
            first < virtual_nodes ? kDistances + first : std::min(std::abs(i - j), kDistances - 1);
        classes.push_back(static_cast<uint8_t>(pair_class));
      }
    }
    for (const int32_t node : sample(size, virtual_nodes, options.drop, key)) {
      sources.push_back(node);
    }
    sizes.push_back(static_cast<int32_t>(size));
    nodes.push_back(nodes.back() + static_cast<int32_t>(size));
    pairs.push_back(static_cast<int32_t>(classes.size()));
    sampled.push_back(static_cast<int32_t>(sources.size()));
  }
  /// All virtual nodes, and the rest but for a part `drop`, ascending.
  static std::vector<int32_t> sample(int64_t size, int64_t virtual_nodes, double drop,
                                     const RngKey& key) {
    std::vector<int32_t> chosen(static_cast<size_t>(size));
    std::iota(chosen.begin(), chosen.end(), 0);
    const auto word = [&](int32_t node) { return key.word(static_cast<uint64_t>(node)); };
    std::sort(chosen.begin() + virtual_nodes, chosen.end(),
              [&](int32_t a, int32_t b) { return word(a) < word(b); });
    const auto real = static_cast<double>(size - virtual_nodes);
    const auto kept = static_cast<int64_t>(std::floor((1 - drop) * real + 0.5));
    chosen.resize(static_cast<size_t>(virtual_nodes + kept));
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }
};

template <class T>
Tensor list(const std::vector<T>& values, Device device) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

GraphAttentionBackwardArgs make_arguments(const GraphOptions& options, const GraphBatch& batch,
                                          DType dtype, Device device) {
  const Shape queries{batch.rows(), options.heads, options.head_size};
  const Shape keys{batch.keys(), options.heads, options.head_size};
  const Shape table{kDistances + options.virtual_nodes, options.heads};
  const Shape statistics{batch.rows(), options.heads};
  GraphAttentionBackwardArgs args;
  GraphAttentionArgs& forward = args.forward;
  forward.query = random_tensor(queries, dtype, device, 1);
  forward.key = random_tensor(keys, dtype, device, 2);
  forward.value = random_tensor(keys, dtype, device, 3);
  forward.nodes = list(batch.nodes, device);
  forward.sampled = list(batch.sampled, device);
  forward.sources = list(batch.sources, device);
  forward.pairs = list(batch.pairs, device);
  forward.classes = list(batch.classes, device);
  forward.bias_table = random_tensor(table, DType::f32, device, 4);
  forward.gate_table = random_tensor(table, DType::f32, device, 5);
  forward.virtual_nodes = options.virtual_nodes;
  forward.scale = 1.0 / std::sqrt(static_cast<double>(options.head_size));
  forward.logit_clip = 5;
  forward.out = Tensor::empty(queries, dtype, device);
  forward.lse = Tensor::empty(statistics, DType::f32, device);
  forward.gate_sum = Tensor::empty(statistics, DType::f32, device);
  args.grad_out = random_tensor(queries, dtype, device, 6);
  args.grad_query = Tensor::empty(queries, dtype, device);
  args.grad_key = Tensor::empty(keys, dtype, device);
  args.grad_value = Tensor::empty(keys, dtype, device);
  args.grad_bias_table = Tensor::zeros(table, DType::f32, device);
  args.grad_gate_table = Tensor::zeros(table, DType::f32, device);
  return args;
}

}  // namespace

int run_graph_attention(const Options& options) {
  const GraphOptions& graphs = options.graph;
  if (std::isnan(graphs.drop)) throw ConfigError("--drop nan: it should be a number of 0 to 1");
  const Device device = device_from_name(options.device);
  const DType dtype = chosen_dtype(options, device);
  const GraphBatch batch(graphs);
  GraphAttentionBackwardArgs args = make_arguments(graphs, batch, dtype, device);
  Backend& compute = backend(device);
  const double forward_seconds = median(
      queued_seconds(options.repeats, device, [&] { compute.graph_attention(args.forward); }));
  const double backward_seconds = median(
      queued_seconds(options.repeats, device, [&] { compute.graph_attention_backward(args); }));
  // Two products forward, five backward, over all pairs.
  const auto multiplications =
      static_cast<double>(batch.attended_pairs() * graphs.heads * graphs.head_size);
  const double forward_rate = 4.0 * multiplications / forward_seconds;
  const double backward_rate = 10.0 * multiplications / backward_seconds;
  const double peak = measured_peak(dtype, device);
  std::cout << fmt::format(
      "attention inside {} graphs of {} nodes, {} nodes and {} sources in all, heads {} × {}\n"
      "forward   {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}% of the measured matmul peak\n"
      "backward  {:8.3f} ms  {:7.1f} GFLOP/s  {:3.0f}%\n",
      graphs.graphs, graphs.nodes, batch.rows(), batch.keys(), graphs.heads, graphs.head_size,
      forward_seconds * 1e3, forward_rate * 1e-9, 100 * forward_rate / peak, backward_seconds * 1e3,
      backward_rate * 1e-9, 100 * backward_rate / peak);
  finish(options, {{"sizes", batch.sizes},
                   {"sources", batch.keys()},
                   {"pairs", batch.attended_pairs()},
                   {"heads", graphs.heads},
                   {"head_size", graphs.head_size},
                   {"virtual_nodes", graphs.virtual_nodes},
                   {"drop", graphs.drop},
                   {"forward_seconds", forward_seconds},
                   {"backward_seconds", backward_seconds},
                   {"tflops", forward_rate * 1e-12},
                   {"backward_tflops", backward_rate * 1e-12},
                   {"fraction_of_matmul_peak", forward_rate / peak},
                   {"backward_fraction_of_matmul_peak", backward_rate / peak}});
  return 0;
}

}  // namespace ssa::bench
