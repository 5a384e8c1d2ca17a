#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ssa/data/molecule.h"

namespace ssa {

/// What the embedding of a pair of nodes is the sum of. For a pair of atoms: row `distance` of the
/// table of distances, and rows `bond` of the table of bonds. For a pair with virtual nodes: the
/// mean of the two rows `virtual_nodes` of the table of virtual edges, which are the same row
/// where only one of the nodes is virtual.
struct PairRows {
  int64_t distance = -1;          ///< -1: a pair with virtual nodes
  std::array<int64_t, 3> bond{};  ///< 1 + 8·feature + value, in 25 rows; 0: no bond
  std::array<int64_t, 2> virtual_nodes = {-1, -1};  ///< -1: a pair of atoms
  bool operator==(const PairRows&) const = default;
};

/// Numbers the kinds of pairs of nodes, of which there are few: everything that EGT-Simple makes of
/// a pair depends on its class alone. With 16 hops and 4 virtual nodes there are 91:
///
///     0          an atom and itself
///     1 … 16     atoms without a bond at distance 2 … 17; 17 stands for all that are farther than
///                16 bonds, or not connected
///     17 … 76    atoms with a bond: 17 + (type·6 + stereo)·2 + conjugated
///     77 … 80    virtual node 0 … 3 and any atom
///     81 … 90    two virtual nodes u ≤ v: (0,0) (0,1) (0,2) (0,3) (1,1) … (3,3)
///
/// Distances are numbers of bonds on a shortest path. Other numbers of hops and virtual nodes
/// change how many there are of each kind, not their order.
struct PairClasses {
  int64_t hops = 16;
  int64_t virtual_nodes = 4;

  static constexpr int64_t kBonds =
      kBondFeatureSizes[0] * kBondFeatureSizes[1] * kBondFeatureSizes[2];

  /// Rows of the table of distances: 0 … hops, and one for what is farther.
  constexpr int64_t distances() const { return hops + 2; }
  constexpr int64_t first_bond() const { return hops + 1; }
  constexpr int64_t first_virtual() const { return first_bond() + kBonds; }
  constexpr int64_t first_virtual_pair() const { return first_virtual() + virtual_nodes; }
  constexpr int64_t count() const {
    return first_virtual_pair() + virtual_nodes * (virtual_nodes + 1) / 2;
  }

  /// Of two atoms without a bond, 0 ≤ distance; any distance above `hops` is far.
  uint8_t of_distance(int64_t distance) const;
  uint8_t of_bond(const Bond& bond) const;
  uint8_t of_virtual(int64_t node) const;
  /// In any order.
  uint8_t of_virtual_pair(int64_t first, int64_t second) const;

  /// The rows of each class, count() of them.
  std::vector<PairRows> rows() const;
  /// Throws ConfigError for less than one hop or virtual node, and for more classes than a byte
  /// can number.
  void check() const;
};

/// The class of each pair of atoms, (atoms, atoms), symmetric.
std::vector<uint8_t> pair_classes(const Molecule& molecule, const PairClasses& classes = {});

}  // namespace ssa
