#pragma once

#include <cstdint>
#include <string>

namespace ssa::cpu {

/// A matrix in memory: element (r, c) is data[r·row_stride + c], or data[c·row_stride + r] if
/// transposed.
struct MatrixView {
  const float* data;
  int64_t row_stride;
  bool transposed;
};

/// out (rows, columns), contiguous = a (rows, inner) · b (inner, columns) [+ bias (columns)] [+
/// out]. bias may be null. Throws Error if oneDNN fails.
void onednn_matmul(int64_t rows, int64_t columns, int64_t inner, const MatrixView& a,
                   const MatrixView& b, const float* bias, bool accumulate, float* out);

/// "oneDNN 2.6.0"
std::string onednn_description();

}  // namespace ssa::cpu
