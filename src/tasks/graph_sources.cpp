#include "tasks/graph_sources.h"

#include <algorithm>

#include "ssa/data/pair_classes.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

namespace {

/// The graphs of a batch, read from its fields.
struct Graphs {
  explicit Graphs(const Batch& batch)
      : nodes(batch.field("nodes").values<int32_t>()),
        pairs(batch.field("pairs").values<int32_t>()),
        numbers(batch.field("graph").values<int32_t>()) {}
  size_t count() const { return numbers.size(); }
  int32_t size(size_t graph) const { return nodes[graph + 1] - nodes[graph]; }

  std::span<const int32_t> nodes, pairs, numbers;
};

RngKey graph_key(const RngKey& key, SsaScope scope, Use use, int32_t number) {
  RngKey own = key;
  const auto graph = static_cast<uint32_t>(number);
  if (use == Use::evaluation) {
    // The key names the first item of the batch. A draw must not depend on it.
    own.step = scope == SsaScope::sample ? graph : 0;
  } else if (scope == SsaScope::sample) {
    own.stream = graph & 0xffffff;
    own.rank = static_cast<uint16_t>(graph >> 24);
  }
  return own;
}

template <class T>
void add_field(Batch& batch, std::string_view name, int64_t layer, const std::vector<T>& values) {
  batch.add(fmt::format("{}.{}", name, layer), {static_cast<int64_t>(values.size())},
            std::span<const T>(values));
}

/// The sources of a graph of `size` nodes, ascending.
std::vector<int32_t> kept_nodes(int32_t size, const Config& config, const RngKey& key) {
  const SsaConfig& ssa = config.ssa;
  if (ssa.virtual_nodes == VirtualNodes::sample) {
    const double most = 1 - 1 / static_cast<double>(size);  // targets need a source
    return draw_kept_positions(size, std::min(ssa.drop, most), key);
  }
  const auto virtual_nodes = static_cast<int32_t>(config.model.egt.virtual_nodes);
  std::vector<int32_t> kept;
  for (int32_t node = 0; node < virtual_nodes; ++node) kept.push_back(node);
  for (const int32_t atom : draw_kept_positions(size - virtual_nodes, ssa.drop, key)) {
    kept.push_back(virtual_nodes + atom);
  }
  return kept;
}

void add_unbiased(Batch& batch, const Config& config, Use use, const RngKey& key, int64_t layer) {
  const Graphs graphs(batch);
  std::vector<int32_t> sampled{0}, sources, rows;
  for (size_t g = 0; g < graphs.count(); ++g) {
    const RngKey own = graph_key(key, config.ssa.scope, use, graphs.numbers[g]);
    for (const int32_t node : kept_nodes(graphs.size(g), config, own)) {
      sources.push_back(node);
      rows.push_back(graphs.nodes[g] + node);
    }
    sampled.push_back(static_cast<int32_t>(sources.size()));
  }
  add_field(batch, "sampled", layer, sampled);
  add_field(batch, "sources", layer, sources);
  add_field(batch, "source_rows", layer, rows);
}

/// The window of each place of a line that is cut into windows of about the same size.
int64_t window_of(int64_t place, int64_t positions, int64_t windows) {
  return place * windows / positions;
}

/// A graph whose pairs of atoms are cut into windows.
struct LocalGraph {
  std::span<const int32_t> line;  ///< the place of each atom
  int64_t virtual_nodes = 0;
  std::span<uint8_t> classes;  ///< (n, n) of all nodes
};

/// Marks the pairs of atoms that no window joins as hidden.
void hide_pairs(const LocalGraph& graph, int64_t most_windows, double sigma, const RngKey& key,
                uint8_t hidden) {
  const auto atoms = static_cast<int64_t>(graph.line.size());
  const int64_t windows = std::min(most_windows, atoms);
  const std::vector<int32_t> order = draw_noisy_order(atoms, sigma, key);
  std::vector<int64_t> window_of_source(graph.line.size());  // by place on the line
  for (int64_t i = 0; i < atoms; ++i) {
    const auto place = static_cast<size_t>(order[static_cast<size_t>(i)]);
    window_of_source[place] = window_of(i, atoms, windows);
  }
  const int64_t nodes = graph.virtual_nodes + atoms;
  for (int64_t target = 0; target < atoms; ++target) {
    const int64_t window = window_of(graph.line[static_cast<size_t>(target)], atoms, windows);
    const auto row = graph.classes.subspan(
        static_cast<size_t>((graph.virtual_nodes + target) * nodes + graph.virtual_nodes));
    for (size_t source = 0; source < graph.line.size(); ++source) {
      const auto place = static_cast<size_t>(graph.line[source]);
      if (window_of_source[place] != window) row[source] = hidden;
    }
  }
}

void add_local(Batch& batch, const Config& config, Use use, const RngKey& key, int64_t layer,
               double sigma) {
  const Graphs graphs(batch);
  const std::span<const int32_t> line = std::as_const(batch).field("line").values<int32_t>();
  const auto all = std::as_const(batch).field("classes").values<uint8_t>();
  const EgtConfig& egt = config.model.egt;
  const auto hidden = static_cast<uint8_t>(PairClasses{egt.hops, egt.virtual_nodes}.count());
  std::vector<uint8_t> classes(all.begin(), all.end());
  size_t first_atom = 0;
  for (size_t g = 0; g < graphs.count(); ++g) {
    const auto atoms = static_cast<size_t>(graphs.size(g) - egt.virtual_nodes);
    const auto first = static_cast<size_t>(graphs.pairs[g]);
    const auto pairs = static_cast<size_t>(graphs.pairs[g + 1]) - first;
    hide_pairs({line.subspan(first_atom, atoms), egt.virtual_nodes,
                std::span(classes).subspan(first, pairs)},
               config.ssa.windows, sigma, graph_key(key, config.ssa.scope, use, graphs.numbers[g]),
               hidden);
    first_atom += atoms;
  }
  add_field(batch, "classes", layer, classes);
}

}  // namespace

void add_sources(Batch& batch, const Config& config, Use use, const RngKey& key) {
  const SsaConfig& ssa = config.ssa;
  // Dropping nothing is dense attention, to the last bit of a gradient too.
  if (ssa.kind == SsaKind::unbiased && ssa.drop == 0) return;
  const int64_t layers = config.model.layers, sampled = ssa.layers == 0 ? layers : ssa.layers;
  for (int64_t i = 0; i < sampled; ++i) {
    const int64_t layer = layers - sampled + i;
    if (ssa.kind == SsaKind::unbiased) {
      add_unbiased(batch, config, use, key.with_layer(layer), layer);
    } else if (ssa.kind == SsaKind::local) {
      const double along =
          sampled > 1 ? static_cast<double>(i) / static_cast<double>(sampled - 1) : 0.0;
      add_local(batch, config, use, key.with_layer(layer), layer,
                ssa.sigma.first + along * (ssa.sigma.last - ssa.sigma.first));
    }
  }
}

}  // namespace ssa
