#pragma once

#include <cstdint>
#include <vector>

namespace ssa {

/// Eigenvalues of a symmetric matrix and its eigenvectors of length 1.
struct SymmetricEigen {
  std::vector<double> values;   // (n), in no order
  std::vector<double> vectors;  // (n, n): row k belongs to values[k]
};

/// Of a symmetric (n, n) matrix, of which n·n entries are given. Errors are about 1e-15 of its
/// norm. Only additions, multiplications, divisions and square roots: every machine gets the same
/// bits.
SymmetricEigen symmetric_eigen(std::vector<double> matrix, int64_t n);

}  // namespace ssa
