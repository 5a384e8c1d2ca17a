#include "symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ssa/core/error.h"

// Householder reflections make the matrix tridiagonal, then implicit QL steps with Wilkinson's
// shift make it diagonal (Golub and Van Loan, "Matrix Computations", chapter 8.3).

namespace ssa {

namespace {

/// A matrix that becomes tridiagonal, then diagonal. Always: original = vectorsᵀ · T · vectors.
class Tridiagonal {
 public:
  Tridiagonal(std::vector<double> matrix, size_t n)
      : n_(n), full_(std::move(matrix)), diagonal_(n), below_(n), vectors_(n * n) {
    for (size_t i = 0; i < n_; ++i) vectors_[i * n_ + i] = 1;
    for (size_t k = 0; k + 2 < n_; ++k) reflect(k);
    for (size_t i = 0; i < n_; ++i) diagonal_[i] = full_[i * n_ + i];
    if (n_ > 1) below_[n_ - 2] = full_[(n_ - 1) * n_ + n_ - 2];
    for (size_t i = 0; i < n_; ++i) {
      scale_ = std::max(scale_, std::abs(diagonal_[i]) + std::abs(below_[i]));
    }
  }

  SymmetricEigen solve() {
    for (size_t first = 0; first < n_; ++first) {
      size_t last = end_of_block(first);
      for (int step = 0; last > first; ++step, last = end_of_block(first)) {
        // Two or three steps are the rule.
        SSA_CHECK(step < 100, "the eigenvalues of a matrix of {} rows do not converge", n_);
        ql_step(first, last);
      }
    }
    return {std::move(diagonal_), std::move(vectors_)};
  }

 private:
  double* row(std::vector<double>& matrix, size_t i) { return matrix.data() + i * n_; }

  /// Makes column k zero below its second entry, by a reflection I - factor·v·vᵀ.
  void reflect(size_t k) {
    const size_t first = k + 1;
    std::vector<double> v(n_), w(n_);
    double square = 0;
    for (size_t i = first; i < n_; ++i) {
      v[i] = full_[i * n_ + k];
      square += v[i] * v[i];
    }
    const double length = v[first] > 0 ? -std::sqrt(square) : std::sqrt(square);
    below_[k] = length;
    if (square == 0) return;
    // vᵀv of v = column - length·e.
    const double factor = 1 / (square - length * v[first]);
    v[first] -= length;
    update_matrix(first, factor, v, w);
    update_vectors(first, factor, v, w);
  }

  void update_matrix(size_t first, double factor, const std::vector<double>& v,
                     std::vector<double>& w) {
    double projection = 0;
    for (size_t i = first; i < n_; ++i) {
      double sum = 0;
      for (size_t j = first; j < n_; ++j) sum += full_[i * n_ + j] * v[j];
      w[i] = factor * sum;
      projection += w[i] * v[i];
    }
    for (size_t i = first; i < n_; ++i) w[i] -= 0.5 * factor * projection * v[i];
    for (size_t i = first; i < n_; ++i) {
      double* a = row(full_, i);
      for (size_t j = first; j < n_; ++j) a[j] -= v[i] * w[j] + w[i] * v[j];
    }
  }

  void update_vectors(size_t first, double factor, const std::vector<double>& v,
                      std::vector<double>& w) {
    std::fill(w.begin(), w.end(), 0.0);
    for (size_t i = first; i < n_; ++i) {
      const double* x = row(vectors_, i);
      for (size_t j = 0; j < n_; ++j) w[j] += v[i] * x[j];
    }
    for (size_t i = first; i < n_; ++i) {
      double* x = row(vectors_, i);
      const double scaled = factor * v[i];
      for (size_t j = 0; j < n_; ++j) x[j] -= scaled * w[j];
    }
  }

  /// The last row of the block that begins with this row: below it the off-diagonal is zero.
  size_t end_of_block(size_t first) const {
    size_t last = first;
    while (last + 1 < n_ &&
           std::abs(below_[last]) > std::numeric_limits<double>::epsilon() * scale_) {
      ++last;
    }
    return last;
  }

  /// One QL step on rows first … last: the shift appears in the last row, and rotations chase the
  /// entry that it puts outside the tridiagonal up to the first.
  void ql_step(size_t first, size_t last) {
    const double half = (diagonal_[first + 1] - diagonal_[first]) / (2 * below_[first]);
    const double root = std::sqrt(half * half + 1);
    const double shift = diagonal_[first] - below_[first] / (half + (half < 0 ? -root : root));
    double chased = diagonal_[last] - shift;
    double sine = 1, cosine = 1, correction = 0;
    for (size_t i = last; i-- > first;) {
      const double outside = sine * below_[i];
      const double inside = cosine * below_[i];
      const double radius = std::sqrt(outside * outside + chased * chased);
      below_[i + 1] = radius;
      if (radius == 0) {  // the block falls apart here
        diagonal_[i + 1] -= correction;
        below_[last] = 0;
        return;
      }
      sine = outside / radius;
      cosine = chased / radius;
      const double upper = diagonal_[i + 1] - correction;
      const double mixed = (diagonal_[i] - upper) * sine + 2 * cosine * inside;
      correction = sine * mixed;
      diagonal_[i + 1] = upper + correction;
      chased = cosine * mixed - inside;
      rotate(i, sine, cosine);
    }
    diagonal_[first] -= correction;
    below_[first] = chased;
    below_[last] = 0;
  }

  void rotate(size_t i, double sine, double cosine) {
    double* lower = row(vectors_, i);
    double* upper = row(vectors_, i + 1);
    for (size_t j = 0; j < n_; ++j) {
      const double a = lower[j], b = upper[j];
      lower[j] = cosine * a - sine * b;
      upper[j] = sine * a + cosine * b;
    }
  }

  size_t n_;
  std::vector<double> full_;      // (n, n)
  std::vector<double> diagonal_;  // (n)
  std::vector<double> below_;     // (n): entry i is that of rows i and i+1
  std::vector<double> vectors_;   // (n, n)
  double scale_ = 0;              // of the matrix's entries
};

}  // namespace

SymmetricEigen symmetric_eigen(std::vector<double> matrix, int64_t n) {
  SSA_CHECK(n >= 0 && std::ssize(matrix) == n * n, "{} entries are no ({}, {}) matrix",
            matrix.size(), n, n);
  return Tridiagonal(std::move(matrix), static_cast<size_t>(n)).solve();
}

}  // namespace ssa
