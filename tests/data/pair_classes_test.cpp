#include "ssa/data/pair_classes.h"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

#include "data/molecule_folder.h"
#include "data/test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kFar = 1'000'000;

/// Distances of all pairs by Floyd and Warshall.
std::vector<int64_t> distances(const Molecule& molecule) {
  const auto n = static_cast<size_t>(molecule.atoms);
  std::vector<int64_t> distance(n * n, kFar);
  for (size_t i = 0; i < n; ++i) distance[i * n + i] = 0;
  for (const Bond& bond : molecule.bonds) {
    distance[bond.begin * n + bond.end] = distance[bond.end * n + bond.begin] = 1;
  }
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        distance[i * n + j] =
            std::min(distance[i * n + j], distance[i * n + k] + distance[k * n + j]);
      }
    }
  }
  return distance;
}

/// A chain of n atoms.
Molecule chain(int64_t n) {
  Molecule molecule;
  molecule.atoms = n;
  for (uint16_t i = 0; i + 1 < n; ++i) {
    molecule.bonds.push_back({.begin = i, .end = static_cast<uint16_t>(i + 1)});
  }
  return molecule;
}

}  // namespace

TEST_CASE("pairs of EGT-Simple have 91 classes, numbered as the header says") {
  const PairClasses classes;
  CHECK(classes.count() == 91);
  CHECK(classes.distances() == 18);
  CHECK(classes.of_distance(0) == 0);
  CHECK(classes.of_distance(2) == 1);
  CHECK(classes.of_distance(17) == 16);
  CHECK(classes.of_distance(kFar) == 16);
  CHECK(classes.of_bond({.features = {0, 0, 0}}) == 17);
  CHECK(classes.of_bond({.features = {3, 2, 1}}) == 17 + (3 * 6 + 2) * 2 + 1);
  CHECK(classes.of_bond({.features = {4, 5, 1}}) == 76);
  CHECK(classes.of_virtual(0) == 77);
  CHECK(classes.of_virtual(3) == 80);
  CHECK(classes.of_virtual_pair(0, 0) == 81);
  CHECK(classes.of_virtual_pair(3, 1) == 87);
  CHECK(classes.of_virtual_pair(3, 3) == 90);
  CHECK_THROWS_AS(classes.of_distance(1), ShapeError);
  CHECK_THROWS_AS(classes.of_virtual(4), ShapeError);
  CHECK_THROWS_AS(classes.of_bond({.features = {5, 0, 0}}), ShapeError);
}

TEST_CASE("each class of pairs has the rows of its embedding") {
  for (const PairClasses classes : {PairClasses{}, PairClasses{.hops = 3, .virtual_nodes = 1}}) {
    const std::vector<PairRows> rows = classes.rows();
    REQUIRE(std::ssize(rows) == classes.count());
    CHECK(rows[classes.of_distance(0)] == PairRows{.distance = 0});
    CHECK(rows[classes.of_distance(kFar)] == PairRows{.distance = classes.hops + 1});
    CHECK(rows[classes.of_bond({.features = {3, 2, 1}})] ==
          PairRows{.distance = 1, .bond = {1 + 3, 1 + 8 + 2, 1 + 16 + 1}});
    for (int64_t u = 0; u < classes.virtual_nodes; ++u) {
      CHECK(rows[classes.of_virtual(u)] == PairRows{.virtual_nodes = {u, u}});
      for (int64_t v = u; v < classes.virtual_nodes; ++v) {
        CHECK(rows[classes.of_virtual_pair(v, u)] == PairRows{.virtual_nodes = {u, v}});
      }
    }
  }
}

TEST_CASE("the classes of a molecule are those of its shortest paths and bonds") {
  for (const int64_t n : {1, 2, 7, 30}) {
    for (const double bonds : {0.0, 0.06, 0.3}) {
      for (const PairClasses classes : {PairClasses{}, PairClasses{.hops = 2}}) {
        const Molecule molecule = random_molecule(n, bonds, static_cast<uint64_t>(n) + 5);
        const std::vector<uint8_t> found = pair_classes(molecule, classes);
        const std::vector<int64_t> distance = distances(molecule);
        REQUIRE(found.size() == distance.size());
        for (size_t i = 0; i < found.size(); ++i) {
          if (distance[i] != 1) CHECK(found[i] == classes.of_distance(distance[i]));
        }
        for (const Bond& bond : molecule.bonds) {
          const size_t at = bond.begin * static_cast<size_t>(n) + bond.end;
          const size_t back = bond.end * static_cast<size_t>(n) + bond.begin;
          CHECK(found[at] == classes.of_bond(bond));
          CHECK(found[back] == found[at]);
        }
      }
    }
  }
}

TEST_CASE("atoms more than sixteen bonds apart are as far as those without a path") {
  const Molecule long_chain = chain(20);
  const std::vector<uint8_t> classes = pair_classes(long_chain);
  CHECK(classes[16] == 15);
  CHECK(classes[17] == 16);
  CHECK(classes[19] == 16);
  Molecule apart = chain(2);
  apart.atoms = 3;
  CHECK(pair_classes(apart)[2] == 16);
}

TEST_CASE("hops and virtual nodes must leave the classes in a byte") {
  CHECK_NOTHROW(PairClasses{.hops = 160, .virtual_nodes = 4}.check());
  const auto problem = [](int64_t hops, int64_t nodes) {
    return error_of(ExitCode::usage,
                    [&] { PairClasses{.hops = hops, .virtual_nodes = nodes}.check(); });
  };
  CHECK(contains(problem(0, 4), "hops is 0"));
  CHECK(contains(problem(16, 0), "0 virtual nodes"));
  CHECK(contains(problem(182, 4), "256 classes"));
  CHECK(contains(problem(16, int64_t{1} << 40), "256 classes"));
}
