#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

namespace ssa {

/// How many values each feature of an atom has: atomic number, chirality, total degree, formal
/// charge, hydrogens, radical electrons, hybridization, is aromatic, is in a ring. These features
/// and the values' numbers are those of the Open Graph Benchmark (OGB).
inline constexpr std::array<int64_t, 9> kAtomFeatureSizes = {119, 5, 12, 12, 10, 6, 6, 2, 2};
/// The same for a bond: type, stereo, is conjugated.
inline constexpr std::array<int64_t, 3> kBondFeatureSizes = {5, 6, 2};
inline constexpr int64_t kAtomFeatures = std::ssize(kAtomFeatureSizes);
inline constexpr int64_t kBondFeatures = std::ssize(kBondFeatureSizes);
/// Eigenvectors that an atom's encoding consists of.
inline constexpr int64_t kEncodingRank = 8;

/// A bond of two different atoms. A molecule has at most one for each pair.
struct Bond {
  uint16_t begin = 0;  ///< the atom with the lower number
  uint16_t end = 0;
  std::array<uint8_t, kBondFeatures> features{};
  bool operator==(const Bond&) const = default;
};

/// A molecule as a graph. Atoms are in the order in which RDKit numbers them: that of the SMILES
/// string. Hydrogens are no atoms, but for those that RDKit keeps.
struct Molecule {
  int64_t idx = 0;  ///< its number in the data set that it comes from
  int64_t atoms = 0;
  std::vector<uint8_t> atom_features;  ///< (atoms, 9)
  std::vector<Bond> bonds;             ///< in RDKit's order
  /// (atoms, 8): column k is x_k·√|λ_k| of the matrix A = adjacency + I, where λ_k is its
  /// eigenvalue of the k-th largest magnitude and x_k the eigenvector of length 1. Columns behind
  /// the atoms'th are zero.
  ///
  /// The singular value decomposition A = U S Vᵀ follows: column k of U√S is this column, that of
  /// V√S is this column times signs[k]. Eigenvectors have no sign of their own: the entry of
  /// largest magnitude is positive, and among entries that are equal within 1e-6 the first one is.
  /// Equal magnitudes, within 1e-9, are sorted by their sign, positive first.
  std::vector<float> encodings;
  std::array<int8_t, kEncodingRank> signs{};  ///< of λ_k: 1 or -1; 1 where there is none
  float target = std::numeric_limits<float>::quiet_NaN();  ///< NaN: none
};

}  // namespace ssa
