#include "tasks/graph_batch.h"

#include <limits>

#include "tasks/atom_order.h"

namespace ssa {

namespace {

/// Rows of the embedding of atoms: 0 stands for nothing, then come 128 for each feature.
constexpr int32_t kAtomRowsPerFeature = 128;

/// The fields of a batch while molecules are added to them.
struct Lists {
  std::vector<int32_t> nodes{0}, pairs{0};
  std::vector<int32_t> positions, virtual_rows, virtual_ids, atom_rows, atoms, line, graph;
  std::vector<uint8_t> classes;
  std::vector<float> encodings, targets;
};

/// A row for each virtual node, then one for each atom.
void add_rows(int64_t atoms, const GraphFormat& format, Lists& lists) {
  const int64_t virtual_nodes = format.classes.virtual_nodes;
  for (int64_t i = 0; i < virtual_nodes + atoms; ++i) {
    const auto row = static_cast<int32_t>(lists.nodes.back() + i);
    lists.positions.push_back(static_cast<int32_t>(i));
    if (i >= virtual_nodes) {
      lists.atom_rows.push_back(row);
      continue;
    }
    lists.virtual_rows.push_back(row);
    lists.virtual_ids.push_back(static_cast<int32_t>(i));
  }
  lists.nodes.push_back(static_cast<int32_t>(lists.nodes.back() + virtual_nodes + atoms));
}

void add_atoms(const Molecule& molecule, const GraphFormat& format, Lists& lists) {
  for (size_t i = 0; i < molecule.atom_features.size(); ++i) {
    const auto feature = static_cast<int32_t>(i % static_cast<size_t>(kAtomFeatures));
    lists.atoms.push_back(1 + kAtomRowsPerFeature * feature + molecule.atom_features[i]);
  }
  for (int64_t atom = 0; atom < molecule.atoms; ++atom) {
    for (int64_t k = 0; k < format.svd_rank; ++k) {
      const float left = molecule.encodings[static_cast<size_t>(atom * kEncodingRank + k)];
      lists.encodings.push_back(left);
      lists.encodings.push_back(left * molecule.signs[static_cast<size_t>(k)]);
    }
  }
  if (!format.order) return;
  const size_t first = lists.line.size();
  lists.line.resize(first + static_cast<size_t>(molecule.atoms));
  int32_t place = 0;
  for (const int32_t atom : atoms_in_order(molecule, *format.order)) {
    lists.line[first + static_cast<size_t>(atom)] = place++;
  }
}

void add_classes(const Molecule& molecule, const GraphFormat& format, Lists& lists) {
  const PairClasses& classes = format.classes;
  const std::vector<uint8_t> of_atoms = pair_classes(molecule, classes);
  const int64_t virtual_nodes = classes.virtual_nodes, size = virtual_nodes + molecule.atoms;
  for (int64_t i = 0; i < virtual_nodes; ++i) {
    for (int64_t j = 0; j < virtual_nodes; ++j) {
      lists.classes.push_back(classes.of_virtual_pair(i, j));
    }
    lists.classes.insert(lists.classes.end(), static_cast<size_t>(molecule.atoms),
                         classes.of_virtual(i));
  }
  for (int64_t i = 0; i < molecule.atoms; ++i) {
    for (int64_t v = 0; v < virtual_nodes; ++v) lists.classes.push_back(classes.of_virtual(v));
    const auto row = of_atoms.begin() + i * molecule.atoms;
    lists.classes.insert(lists.classes.end(), row, row + molecule.atoms);
  }
  SSA_CHECK(lists.classes.size() <= std::numeric_limits<int32_t>::max(),
            "graph_batch: the pairs of a batch of graphs are too many with one of {} nodes", size);
  lists.pairs.push_back(static_cast<int32_t>(lists.classes.size()));
}

template <class T>
void add_field(Batch& batch, const char* name, const std::vector<T>& values, int64_t width = 0) {
  const auto count = static_cast<int64_t>(values.size());
  const Shape shape = width > 0 ? Shape{count / width, width} : Shape{count};
  batch.add(name, shape, std::span<const T>(values));
}

}  // namespace

GraphFormat::GraphFormat(const Config& config)
    : classes{.hops = config.model.egt.hops, .virtual_nodes = config.model.egt.virtual_nodes},
      svd_rank(config.model.egt.svd_rank) {
  if (config.ssa.kind == SsaKind::local) order = config.ssa.order;
}

Batch graph_batch(std::span<const Molecule> molecules, const GraphFormat& format) {
  Lists lists;
  for (const Molecule& molecule : molecules) {
    add_rows(molecule.atoms, format, lists);
    add_atoms(molecule, format, lists);
    add_classes(molecule, format, lists);
    lists.targets.push_back(molecule.target);
    lists.graph.push_back(static_cast<int32_t>(molecule.idx));
  }
  Batch batch(static_cast<int64_t>(molecules.size()));
  add_field(batch, "atoms", lists.atoms, kAtomFeatures);
  add_field(batch, "encodings", lists.encodings, 2 * format.svd_rank);
  add_field(batch, "atom_rows", lists.atom_rows);
  add_field(batch, "virtual_rows", lists.virtual_rows);
  add_field(batch, "virtual_ids", lists.virtual_ids);
  add_field(batch, "nodes", lists.nodes);
  add_field(batch, "pairs", lists.pairs);
  add_field(batch, "positions", lists.positions);
  add_field(batch, "classes", lists.classes);
  add_field(batch, "target", lists.targets);
  add_field(batch, "graph", lists.graph);
  if (format.order) add_field(batch, "line", lists.line);
  return batch;
}

}  // namespace ssa
