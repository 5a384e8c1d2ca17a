#pragma once

#include <compare>
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

/// What a product does besides multiplying. f is GELU by tanh.
enum class Epilogue {
  none,
  sums,           ///< beside (rows) f32 receives the sums of the rows of a
  gelu,           ///< out = f(product), and beside (rows, columns), as out, receives the product
  gelu_gradient,  ///< out = product · f'(beside), beside (rows, columns) as out
};

/// A batch of products of one shape, with the steps between matrices in elements.
struct Batch {
  int64_t count = 1;
  int64_t a_step = 0, b_step = 0, out_step = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes `default` for a null pointer.
  auto operator<=>(const Batch&) const = default;
};

/// out (rows, columns) = a (rows, inner) · b (inner, columns) [+ bias (columns)]
/// [+ added (rows, columns)], summed up in f32. bias and `added` are in the dtype of out; `added`
/// may be out itself. No extent is 0. A bias comes with no epilogue or with gelu. A batch of
/// several has neither bias nor epilogue, and nothing added but out itself.
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
  int64_t out_stride = 0;  ///< of its rows; 0: contiguous
  Batch batch{};
  int64_t out_row_stride() const { return out_stride ? out_stride : columns; }
};

/// Queues the product. Returns false, and queues nothing, if its epilogue is not supported. Throws
/// Error if the product fails. cublaslt_matmul.cpp implements it with cuBLASLt; the emulation has
/// its own implementation.
bool multiply(const Product& product);

/// The library, for logs: "cuBLASLt 13.0.0; f32 products in f32".
std::string multiplier();

}  // namespace ssa::cuda
