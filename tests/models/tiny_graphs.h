#pragma once

#include <map>

#include "ssa/models/egt.h"

#include "support/tensors.h"

// Graphs in memory, packed into the fields of an EGT.

namespace ssa::testing {

/// A graph as the model sees it. Classes are those of pairs of atoms.
struct TinyGraph {
  int64_t atoms = 0;
  std::vector<int32_t> features;  ///< (atoms, 9)
  std::vector<uint8_t> classes;   ///< (atoms, atoms)
  std::vector<double> encodings;  ///< (atoms, E)
  double target = 0;
  std::vector<int32_t> sources{};  ///< sampled nodes, virtual ones in front; only of some layers
};

/// Packs graphs with fields of `dtype`; integers on the same device. `atom_classes` is how many
/// classes pairs of atoms have; those of pairs with virtual nodes follow: a node and any atom, then
/// two nodes u ≤ v.
class GraphPacker {
 public:
  GraphPacker(const EgtShape& shape, int64_t atom_classes, Device device, DType dtype)
      : shape_(shape), atom_classes_(atom_classes), device_(device), dtype_(dtype) {}

  /// The sources of the graphs are sampled in `sampled_layers`.
  ModelInput pack(const std::vector<TinyGraph>& graphs,
                  const std::vector<int64_t>& sampled_layers = {}) const {
    Lists lists;
    for (const TinyGraph& graph : graphs) add(graph, lists);
    const auto count = static_cast<int64_t>(graphs.size());
    ModelInput input{count, {}, {}};
    const auto rows = static_cast<int64_t>(lists.atom_rows.size());
    input.fields = {
        {"atoms", integers(lists.features, {rows, shape_.atom_features})},
        {"encodings", numbers(lists.encodings, {rows, shape_.encoding})},
        {"atom_rows", integers(lists.atom_rows)},
        {"virtual_rows", integers(lists.virtual_rows)},
        {"virtual_ids", integers(lists.virtual_ids)},
        {"nodes", integers(lists.nodes)},
        {"pairs", integers(lists.pairs)},
        {"positions", integers(lists.positions)},
        {"classes",
         Tensor::from(lists.classes, {static_cast<int64_t>(lists.classes.size())}, device_)},
        {"target", numbers(lists.targets, {count})}};
    for (const int64_t layer : sampled_layers) {
      input.fields.emplace_back(fmt::format("sampled.{}", layer), integers(lists.sampled));
      input.fields.emplace_back(fmt::format("sources.{}", layer), integers(lists.sources));
      input.fields.emplace_back(fmt::format("source_rows.{}", layer), integers(lists.source_rows));
    }
    return input;
  }

 private:
  struct Lists {
    std::vector<int32_t> features, atom_rows, virtual_rows, virtual_ids, positions;
    std::vector<int32_t> nodes{0}, pairs{0}, sampled{0}, sources, source_rows;
    std::vector<uint8_t> classes;
    std::vector<double> encodings, targets;
  };

  uint8_t class_of(const TinyGraph& graph, int64_t i, int64_t j) const {
    const int64_t nodes = shape_.virtual_nodes, u = std::min(i, j), v = std::max(i, j);
    if (u >= nodes) {
      return graph.classes[static_cast<size_t>((i - nodes) * graph.atoms + j - nodes)];
    }
    if (v >= nodes) return static_cast<uint8_t>(atom_classes_ + u);
    const int64_t before = u * nodes - u * (u - 1) / 2;  // pairs of lower nodes
    return static_cast<uint8_t>(atom_classes_ + nodes + before + v - u);
  }

  void add(const TinyGraph& graph, Lists& lists) const {
    const int64_t nodes = shape_.virtual_nodes, size = nodes + graph.atoms;
    const int32_t first = lists.nodes.back();
    for (int64_t i = 0; i < size; ++i) {
      const auto row = static_cast<int32_t>(first + i);
      lists.positions.push_back(static_cast<int32_t>(i));
      (i < nodes ? lists.virtual_rows : lists.atom_rows).push_back(row);
      if (i < nodes) lists.virtual_ids.push_back(static_cast<int32_t>(i));
      for (int64_t j = 0; j < size; ++j) lists.classes.push_back(class_of(graph, i, j));
    }
    for (const int32_t source : graph.sources) {
      lists.sources.push_back(source);
      lists.source_rows.push_back(first + source);
    }
    lists.nodes.push_back(static_cast<int32_t>(first + size));
    lists.pairs.push_back(static_cast<int32_t>(lists.classes.size()));
    lists.sampled.push_back(static_cast<int32_t>(lists.sources.size()));
    lists.features.insert(lists.features.end(), graph.features.begin(), graph.features.end());
    lists.encodings.insert(lists.encodings.end(), graph.encodings.begin(), graph.encodings.end());
    lists.targets.push_back(graph.target);
  }

  Tensor integers(const std::vector<int32_t>& values, const Shape& shape) const {
    return Tensor::from(values, shape, device_, MemoryCategory::data);
  }
  Tensor integers(const std::vector<int32_t>& values) const {
    return integers(values, {static_cast<int64_t>(values.size())});
  }
  Tensor numbers(const std::vector<double>& values, const Shape& shape) const {
    Tensor converted = Tensor::empty(shape, dtype_, Device::reference);
    backend(Device::reference).copy(f64(values, shape), converted);
    return device_ == Device::reference ? converted : converted.to(device_);
  }

  EgtShape shape_;
  int64_t atom_classes_;
  Device device_;
  DType dtype_;
};

/// Appends the classes of pairs with virtual nodes to those of pairs of atoms.
inline void add_virtual_classes(EgtShape& shape) {
  for (int64_t v = 0; v < shape.virtual_nodes; ++v) shape.pair_classes.push_back({{}, {}, {v}});
  for (int64_t u = 0; u < shape.virtual_nodes; ++u) {
    for (int64_t v = u; v < shape.virtual_nodes; ++v) {
      shape.pair_classes.push_back({{}, {}, {u, v}});
    }
  }
}

}  // namespace ssa::testing
