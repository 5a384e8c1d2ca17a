#include "ssa/data/pair_classes.h"

#include <algorithm>
#include <utility>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr int64_t kBondRowsPerFeature = 8;
constexpr int64_t kMostClasses = 256;

uint8_t as_class(int64_t number) { return static_cast<uint8_t>(number); }

/// The atoms that each atom has a bond with: those of atom i are at first[i] … first[i+1]-1.
struct Neighbours {
  explicit Neighbours(const Molecule& molecule)
      : first(static_cast<size_t>(molecule.atoms) + 2), atoms(2 * molecule.bonds.size()) {
    // Counts, shifted by two: the sums' entries then serve as positions to write to.
    for (const Bond& bond : molecule.bonds) {
      ++first[bond.begin + size_t{2}];
      ++first[bond.end + size_t{2}];
    }
    for (size_t i = 2; i < first.size(); ++i) first[i] += first[i - 1];
    for (const Bond& bond : molecule.bonds) {
      atoms[first[bond.begin + size_t{1}]++] = bond.end;
      atoms[first[bond.end + size_t{1}]++] = bond.begin;
    }
  }
  std::vector<size_t> first;
  std::vector<uint16_t> atoms;
};

/// Writes the classes of the atoms that can be reached from `start` within `hops`, by distance.
void search_from(size_t start, const Neighbours& neighbours, const PairClasses& classes,
                 std::vector<bool>& seen, uint8_t* row) {
  std::fill(seen.begin(), seen.end(), false);
  seen[start] = true;
  row[start] = classes.of_distance(0);
  std::vector<size_t> reached = {start};
  for (int64_t distance = 1; distance <= classes.hops && !reached.empty(); ++distance) {
    std::vector<size_t> next;
    for (const size_t atom : reached) {
      for (size_t k = neighbours.first[atom]; k < neighbours.first[atom + 1]; ++k) {
        const size_t other = neighbours.atoms[k];
        if (seen[other]) continue;
        seen[other] = true;
        // Atoms at distance 1 have a bond, whose class is written afterwards.
        if (distance > 1) row[other] = classes.of_distance(distance);
        next.push_back(other);
      }
    }
    reached = std::move(next);
  }
}

}  // namespace

uint8_t PairClasses::of_distance(int64_t distance) const {
  SSA_CHECK(distance >= 0 && distance != 1, "no pair without a bond has distance {}", distance);
  return as_class(distance == 0 ? 0 : std::min(distance, hops + 1) - 1);
}

uint8_t PairClasses::of_bond(const Bond& bond) const {
  int64_t number = 0;
  for (size_t f = 0; f < bond.features.size(); ++f) {
    SSA_CHECK(bond.features[f] < kBondFeatureSizes[f], "feature {} of a bond is {}", f,
              bond.features[f]);
    number = number * kBondFeatureSizes[f] + bond.features[f];
  }
  return as_class(first_bond() + number);
}

uint8_t PairClasses::of_virtual(int64_t node) const {
  SSA_CHECK(node >= 0 && node < virtual_nodes, "virtual node {} of {}", node, virtual_nodes);
  return as_class(first_virtual() + node);
}

uint8_t PairClasses::of_virtual_pair(int64_t first, int64_t second) const {
  if (first > second) std::swap(first, second);
  SSA_CHECK(first >= 0 && second < virtual_nodes, "virtual nodes {} and {} of {}", first, second,
            virtual_nodes);
  const int64_t before = first * virtual_nodes - first * (first - 1) / 2;  // of rows above
  return as_class(first_virtual_pair() + before + second - first);
}

std::vector<PairRows> PairClasses::rows() const {
  check();
  std::vector<PairRows> rows;
  rows.push_back({.distance = 0});
  for (int64_t distance = 2; distance <= hops + 1; ++distance) {
    rows.push_back({.distance = distance});
  }
  for (int64_t type = 0; type < kBondFeatureSizes[0]; ++type) {
    for (int64_t stereo = 0; stereo < kBondFeatureSizes[1]; ++stereo) {
      for (int64_t conjugated = 0; conjugated < kBondFeatureSizes[2]; ++conjugated) {
        rows.push_back({.distance = 1,
                        .bond = {1 + type, 1 + kBondRowsPerFeature + stereo,
                                 1 + 2 * kBondRowsPerFeature + conjugated}});
      }
    }
  }
  for (int64_t node = 0; node < virtual_nodes; ++node) {
    rows.push_back({.virtual_nodes = {node, node}});
  }
  for (int64_t first = 0; first < virtual_nodes; ++first) {
    for (int64_t second = first; second < virtual_nodes; ++second) {
      rows.push_back({.virtual_nodes = {first, second}});
    }
  }
  return rows;
}

void PairClasses::check() const {
  if (hops < 1) throw ConfigError("hops is {}: at least 1 is needed", hops);
  if (virtual_nodes < 1) throw ConfigError("{} virtual nodes: at least 1 is needed", virtual_nodes);
  // Compares each first: their numbers must not overflow.
  if (hops < kMostClasses && virtual_nodes < kMostClasses && count() <= kMostClasses) return;
  throw ConfigError(
      "{} hops and {} virtual nodes give more than {} classes of pairs: take fewer of them", hops,
      virtual_nodes, kMostClasses);
}

std::vector<uint8_t> pair_classes(const Molecule& molecule, const PairClasses& classes) {
  classes.check();
  const auto n = static_cast<size_t>(molecule.atoms);
  std::vector<uint8_t> result(n * n, classes.of_distance(classes.hops + 1));
  const Neighbours neighbours(molecule);
  std::vector<bool> seen(n);
  for (size_t i = 0; i < n; ++i) {
    search_from(i, neighbours, classes, seen, result.data() + i * n);
  }
  for (const Bond& bond : molecule.bonds) {
    const uint8_t number = classes.of_bond(bond);
    result[bond.begin * n + bond.end] = number;
    result[bond.end * n + bond.begin] = number;
  }
  return result;
}

}  // namespace ssa
