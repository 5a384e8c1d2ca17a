#include "molecule_encoding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "symmetric_eigen.h"

namespace ssa {

namespace {

constexpr double kEqualMagnitudes = 1e-9;
constexpr double kEqualEntries = 1e-6;

/// The sum of the adjacency matrix and the identity.
std::vector<double> matrix_of(const Molecule& molecule) {
  const auto n = static_cast<size_t>(molecule.atoms);
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) matrix[i * n + i] = 1;
  for (const Bond& bond : molecule.bonds) {
    matrix[bond.begin * n + bond.end] = 1;
    matrix[bond.end * n + bond.begin] = 1;
  }
  return matrix;
}

/// Numbers of the eigenvalues, largest magnitude first. Rounding must not decide between equal
/// magnitudes, so they are compared in whole multiples of kEqualMagnitudes.
std::vector<size_t> order_of(const std::vector<double>& values) {
  const auto magnitude = [&](size_t k) {
    return std::llround(std::abs(values[k]) / kEqualMagnitudes);
  };
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const auto left = magnitude(a), right = magnitude(b);
    return left != right ? left > right : values[a] > 0 && values[b] < 0;
  });
  return order;
}

/// 1 or -1, so that the entry of largest magnitude becomes positive.
double sign_of(const double* vector, size_t n) {
  double largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(vector[i]));
  for (size_t i = 0; i < n; ++i) {
    if (std::abs(vector[i]) >= largest * (1 - kEqualEntries)) return vector[i] < 0 ? -1 : 1;
  }
  return 1;
}

}  // namespace

void encode(Molecule& molecule) {
  const auto n = static_cast<size_t>(molecule.atoms);
  constexpr auto kRank = static_cast<size_t>(kEncodingRank);
  molecule.encodings.assign(n * kRank, 0.0f);
  molecule.signs.fill(1);
  const SymmetricEigen eigen = symmetric_eigen(matrix_of(molecule), molecule.atoms);
  const std::vector<size_t> order = order_of(eigen.values);
  for (size_t k = 0; k < std::min(n, kRank); ++k) {
    const double value = eigen.values[order[k]];
    const double* vector = eigen.vectors.data() + order[k] * n;
    const double factor = sign_of(vector, n) * std::sqrt(std::abs(value));
    for (size_t i = 0; i < n; ++i) {
      molecule.encodings[i * kRank + k] = static_cast<float>(factor * vector[i]);
    }
    molecule.signs[k] = value < 0 ? -1 : 1;
  }
}

}  // namespace ssa
