#include "data/molecule_encoding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <catch2/catch.hpp>

#include "data/molecule_folder.h"
#include "data/symmetric_eigen.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr auto kRank = static_cast<size_t>(kEncodingRank);

Molecule unlabelled(int64_t n, const std::vector<std::array<uint16_t, 2>>& bonds) {
  Molecule molecule;
  molecule.atoms = n;
  for (const auto& [begin, end] : bonds) molecule.bonds.push_back({.begin = begin, .end = end});
  encode(molecule);
  return molecule;
}

/// Adjacency + I.
std::vector<double> matrix_of(const Molecule& molecule) {
  const auto n = static_cast<size_t>(molecule.atoms);
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) matrix[i * n + i] = 1;
  for (const Bond& bond : molecule.bonds) {
    matrix[bond.begin * n + bond.end] = matrix[bond.end * n + bond.begin] = 1;
  }
  return matrix;
}

std::vector<double> times(const std::vector<double>& matrix, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < y.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) y[i] += matrix[i * x.size() + j] * x[j];
  }
  return y;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

std::vector<double> column(const Molecule& molecule, size_t k) {
  std::vector<double> x;
  for (int64_t i = 0; i < molecule.atoms; ++i) {
    x.push_back(static_cast<double>(molecule.encodings[static_cast<size_t>(i) * kRank + k]));
  }
  return x;
}

/// The matrix less U Vᵀ of the encodings.
std::vector<double> rest_of(const Molecule& molecule) {
  std::vector<double> rest = matrix_of(molecule);
  const auto n = static_cast<size_t>(molecule.atoms);
  for (size_t k = 0; k < kRank; ++k) {
    const std::vector<double> x = column(molecule, k);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) rest[i * n + j] -= molecule.signs[k] * x[i] * x[j];
    }
  }
  return rest;
}

/// A lower bound of the largest magnitude of an eigenvalue, close after so many steps.
double spectral_norm(const std::vector<double>& matrix, size_t n) {
  std::vector<double> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = 1 + 0.37 * static_cast<double>(i % 5);
  double norm = 0;
  for (int step = 0; step < 300; ++step) {
    const double length = std::sqrt(dot(x, x));
    if (length < 1e-9) return norm;
    for (double& value : x) value /= length;
    x = times(matrix, x);
    norm = std::sqrt(dot(x, x));
  }
  return norm;
}

}  // namespace

TEST_CASE("eigenvectors of symmetric matrices solve the equation and are orthonormal") {
  const RngKey key{.seed = 3};
  for (const size_t n : {size_t{1}, size_t{2}, size_t{3}, size_t{10}, size_t{33}}) {
    std::vector<double> matrix(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        matrix[i * n + j] = matrix[j * n + i] = normal_from_word(key.word(i * n + j));
      }
    }
    const SymmetricEigen eigen = symmetric_eigen(matrix, static_cast<int64_t>(n));
    for (size_t k = 0; k < n; ++k) {
      const std::vector<double> x(eigen.vectors.begin() + static_cast<std::ptrdiff_t>(k * n),
                                  eigen.vectors.begin() + static_cast<std::ptrdiff_t>(k * n + n));
      const std::vector<double> y = times(matrix, x);
      for (size_t i = 0; i < n; ++i) CHECK(std::abs(y[i] - eigen.values[k] * x[i]) < 1e-12);
      for (size_t other = 0; other < n; ++other) {
        double product = 0;
        for (size_t i = 0; i < n; ++i) product += x[i] * eigen.vectors[other * n + i];
        CHECK(std::abs(product - (k == other ? 1 : 0)) < 1e-13);
      }
    }
  }
}

TEST_CASE("encodings of small molecules are those of their formulas") {
  const Molecule one = unlabelled(1, {});
  CHECK(one.encodings == std::vector<float>{1, 0, 0, 0, 0, 0, 0, 0});
  CHECK(one.signs == std::array<int8_t, 8>{1, 1, 1, 1, 1, 1, 1, 1});

  // Two atoms with a bond: eigenvalues 2 and 0.
  const Molecule pair = unlabelled(2, {{0, 1}});
  for (size_t i = 0; i < 2 * kRank; ++i) {
    CHECK(std::abs(static_cast<double>(pair.encodings[i]) - (i % kRank == 0 ? 1 : 0)) < 1e-7);
  }
  // A ring of four: 3, 1, 1, -1. The positive ones come first.
  const Molecule ring = unlabelled(4, {{0, 1}, {1, 2}, {2, 3}, {0, 3}});
  CHECK(ring.signs == std::array<int8_t, 8>{1, 1, 1, -1, 1, 1, 1, 1});
  CHECK(std::abs(dot(column(ring, 0), column(ring, 0)) - 3) < 1e-6);
  // Its vectors 0 and 3 are (1, 1, 1, 1)/2 and (1, -1, 1, -1)/2: the first entry decides.
  CHECK(std::abs(column(ring, 3)[0] - 0.5) < 1e-7);
  CHECK(std::abs(column(ring, 3)[1] + 0.5) < 1e-7);
}

TEST_CASE("encodings are the first singular vectors, with the convention of signs") {
  for (const int64_t n : {1, 2, 5, 7, 8, 9, 20, 51, 120}) {
    for (const double bonds : {0.0, 0.08, 0.3}) {
      INFO(n << " atoms, bonds " << bonds);
      const Molecule molecule = random_molecule(n, bonds, static_cast<uint64_t>(n));
      const std::vector<double> matrix = matrix_of(molecule);
      double before = 1e9;
      for (size_t k = 0; k < kRank; ++k) {
        const std::vector<double> x = column(molecule, k);
        const double value = dot(x, x);  // √s · √s of a vector of length 1
        CHECK(value <= before + 1e-5);
        before = value;
        if (static_cast<int64_t>(k) >= n) CHECK(value == 0);
        const std::vector<double> y = times(matrix, x);
        for (size_t i = 0; i < y.size(); ++i) {
          CHECK(std::abs(y[i] - molecule.signs[k] * value * x[i]) < 1e-5);
        }
        for (size_t other = 0; other < k; ++other) {
          CHECK(std::abs(dot(x, column(molecule, other))) < 1e-5);
        }
        const double largest = std::abs(
            *std::ranges::max_element(x, {}, [](double entry) { return std::abs(entry); }));
        const auto decides = std::ranges::find_if(
            x, [&](double entry) { return std::abs(entry) >= largest * (1 - 2e-6); });
        CHECK(*decides >= 0);
      }
      // No eigenvalue that was left out is larger; with eight atoms or fewer, none was.
      const std::vector<double> rest = rest_of(molecule);
      CHECK(spectral_norm(rest, static_cast<size_t>(n)) <= (n <= 8 ? 1e-5 : before + 1e-5));
    }
  }
}
