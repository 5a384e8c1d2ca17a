#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ssa/core/tensor.h"

namespace ssa::cpu {

/// A matrix of f32 or bf16 in memory: element (r, c) is data[r·row_stride + c], or
/// data[c·row_stride + r] if transposed.
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t row_stride = 0;
  bool transposed = false;
};

/// A right operand (inner, columns) in the layout that oneDNN multiplies fastest. Works for any
/// number of rows of the left operand.
class OnednnWeights {
 public:
  /// Not written yet. dtype is f32 or bf16. Throws Error if oneDNN fails.
  OnednnWeights(int64_t inner, int64_t columns, DType dtype);
  ~OnednnWeights();
  OnednnWeights(const OnednnWeights&) = delete;
  OnednnWeights& operator=(const OnednnWeights&) = delete;
  /// Overwrites the weights with f32 `parts`, stacked over their rows, and transposed if
  /// `transpose`.
  void write(const std::vector<Tensor>& parts, bool transpose);
  DType dtype() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Bytes that OnednnWeights of this shape take. Throws Error if oneDNN fails.
int64_t onednn_packed_bytes(int64_t inner, int64_t columns, DType dtype);

/// out (rows, columns) = a (rows, inner) · b (inner, columns) [+ bias (columns)]
/// [+ residual (rows, columns)] [+ out]. b is in the dtype of a, out in that of a or in f32,
/// residual in that of out. No extent is 0.
struct OnednnProduct {
  int64_t rows, columns, inner;
  MatrixView a;
  MatrixView b{};  ///< or
  const OnednnWeights* packed_b = nullptr;
  const float* bias = nullptr;  ///< or null
  MatrixView residual{};        ///< data may be null
  bool accumulate = false;
  void* out;
  DType out_dtype;
  int64_t out_stride = 0;  ///< of its rows; 0: contiguous
};

/// Inside a parallel region the calling thread computes the product alone. Throws Error if oneDNN
/// fails.
void onednn_matmul(const OnednnProduct& product);

/// "oneDNN 2.6.0"
std::string onednn_description();

/// The instructions that oneDNN multiplies bf16 with on this machine.
enum class Bf16Instructions { none, avx512_bf16, amx };
Bf16Instructions onednn_bf16_instructions();

}  // namespace ssa::cpu
