#pragma once

#include <cstdint>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/data/molecule.h"

namespace ssa {

/// The atoms of a molecule on a line, on which bonded atoms are close to each other: the number of
/// the atom in each place. Parts that no bond connects follow each other.
///
/// bfs: breadth-first from the first atom of each part; neighbours in the order of their numbers.
/// rcm: reverse Cuthill-McKee: breadth-first from the atom of each part with the fewest bonds;
/// neighbours with fewer bonds come first; then the whole line is reversed.
std::vector<int32_t> atoms_in_order(const Molecule& molecule, AtomOrder order);

}  // namespace ssa
