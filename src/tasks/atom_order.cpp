#include "tasks/atom_order.h"

#include <algorithm>
#include <numeric>

namespace ssa {

namespace {

using Neighbours = std::vector<std::vector<int32_t>>;

Neighbours neighbours_of(const Molecule& molecule) {
  Neighbours all(static_cast<size_t>(molecule.atoms));
  for (const Bond& bond : molecule.bonds) {
    all[bond.begin].push_back(bond.end);
    all[bond.end].push_back(bond.begin);
  }
  return all;
}

/// Appends the part of the molecule that can be reached from `first`, breadth-first.
void visit_part(int32_t first, const Neighbours& neighbours, std::vector<bool>& seen,
                std::vector<int32_t>& line) {
  seen[static_cast<size_t>(first)] = true;
  line.push_back(first);
  for (size_t next = line.size() - 1; next < line.size(); ++next) {
    for (const int32_t atom : neighbours[static_cast<size_t>(line[next])]) {
      if (seen[static_cast<size_t>(atom)]) continue;
      seen[static_cast<size_t>(atom)] = true;
      line.push_back(atom);
    }
  }
}

}  // namespace

std::vector<int32_t> atoms_in_order(const Molecule& molecule, AtomOrder order) {
  Neighbours neighbours = neighbours_of(molecule);
  const bool by_bonds = order == AtomOrder::rcm;
  const auto comes_before = [&, by_bonds](int32_t a, int32_t b) {
    const size_t bonds_a = neighbours[static_cast<size_t>(a)].size();
    const size_t bonds_b = neighbours[static_cast<size_t>(b)].size();
    return by_bonds && bonds_a != bonds_b ? bonds_a < bonds_b : a < b;
  };
  for (std::vector<int32_t>& of_atom : neighbours) {
    std::sort(of_atom.begin(), of_atom.end(), comes_before);
  }
  std::vector<int32_t> starts(static_cast<size_t>(molecule.atoms));
  std::iota(starts.begin(), starts.end(), 0);
  std::sort(starts.begin(), starts.end(), comes_before);
  std::vector<bool> seen(starts.size());
  std::vector<int32_t> line;
  for (const int32_t first : starts) {
    if (!seen[static_cast<size_t>(first)]) visit_part(first, neighbours, seen, line);
  }
  if (by_bonds) std::reverse(line.begin(), line.end());
  return line;
}

}  // namespace ssa
