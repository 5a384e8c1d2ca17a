#pragma once

#include <cstdint>
#include <string>

#include "ssa/core/dtype.h"

namespace ssa::cuda {

/// A matrix in GPU memory: element (r, c) is data[r·row_stride + c], or data[c·row_stride + r] if
/// transposed.
struct MatrixView {
  const void* data = nullptr;
  int64_t row_stride = 0;
  bool transposed = false;
};

/// What else a product may do with what it reads and writes. f is GELU by tanh.
enum class Epilogue {
  none,
  sums,           ///< beside (rows) f32 receives the sums of the rows of a
  gelu,           ///< out = f(product), and beside (rows, columns), as out, receives the product
  gelu_gradient,  ///< out = product · f'(beside), beside (rows, columns) as out
};

/// out (rows, columns), contiguous = a (rows, inner) · b (inner, columns) [+ bias (columns)]
/// [+ added (rows, columns)], summed up in f32. bias and `added` are in the dtype of out; `added`
/// may be out itself. No extent is 0. A bias comes with no epilogue or with gelu.
struct Product {
  int64_t rows, columns, inner;
  MatrixView a, b;
  DType dtype;                 ///< of a and b: f32, bf16 or f16
  const void* bias = nullptr;  ///< or null
  MatrixView added{};          ///< not transposed; data may be null
  void* out;
  DType out_dtype;  ///< dtype, or f32
  Epilogue epilogue = Epilogue::none;
  void* beside = nullptr;
};

/// Queues the product. False, and nothing is queued, if it cannot be had with its epilogue. Throws
/// Error if it cannot be done. Implemented with cuBLASLt (cublaslt_matmul.cpp); the emulation has
/// an implementation of its own.
bool multiply(const Product& product);

/// What multiplies, for logs: "cuBLASLt 13.0.0; f32 products in f32".
std::string multiplier();

}  // namespace ssa::cuda
