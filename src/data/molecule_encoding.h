#pragma once

#include "ssa/data/molecule.h"

namespace ssa {

/// Atoms of the largest molecule that is accepted: the time for its encodings grows with the cube.
inline constexpr int64_t kMostAtoms = 1024;

/// Fills in encodings and signs of a molecule that has its atoms and bonds.
void encode(Molecule& molecule);

}  // namespace ssa
