// Matrix products of the emulated GPU, in place of cuBLASLt's: a thread for each row, sums in f32.

#include "backend/cuda/matmul.h"

#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/normal.cuh"
#include "backend/cuda/visit_data.h"

namespace ssa::cuda {

namespace {

template <class T>
struct Operand {
  const T* data;
  int64_t row_step, column_step;
  int64_t batch_step;
  Operand(const MatrixView& view, int64_t step)
      : data(static_cast<const T*>(view.data)),
        row_step(view.transposed ? 1 : view.row_stride),
        column_step(view.transposed ? view.row_stride : 1),
        batch_step(step) {}
  float at(int64_t row, int64_t column) const {
    return to_float(data[blockIdx.y * batch_step + row * row_step + column * column_step]);
  }
};

/// Grid: rows, products of a batch.
template <class T, class Out>
__global__ void multiply_row(Product product, Operand<T> a, Operand<T> b, Operand<Out> added) {
  const int64_t row = blockIdx.x;
  Out* out = static_cast<Out*>(product.out) + blockIdx.y * product.batch.out_step +
             row * product.out_row_stride();
  const Out* bias = static_cast<const Out*>(product.bias);
  const bool keeps = product.epilogue == Epilogue::gelu;
  const bool multiplies = product.epilogue == Epilogue::gelu_gradient;
  Out* beside = static_cast<Out*>(product.beside) + row * product.columns;
  for (int64_t column = 0; column < product.columns; ++column) {
    float sum = 0.0f;
    for (int64_t k = 0; k < product.inner; ++k) sum += a.at(row, k) * b.at(k, column);
    if (bias) sum += to_float(bias[column]);
    if (added.data) sum += added.at(row, column);
    if (keeps) beside[column] = from_float<Out>(sum);
    if (keeps) sum = gelu_tanh(sum).value;
    if (multiplies) sum *= gelu_tanh(to_float(beside[column])).slope;
    out[column] = from_float<Out>(sum);
  }
  if (product.epilogue != Epilogue::sums) return;
  float sum = 0.0f;
  for (int64_t k = 0; k < product.inner; ++k) sum += a.at(row, k);
  static_cast<float*>(product.beside)[row] = sum;
}

template <class T, class Out>
void launch_rows(const Product& product) {
  const Batch& batch = product.batch;
  launch("multiply", multiply_row<T, Out>,
         dim3(static_cast<unsigned>(product.rows), static_cast<unsigned>(batch.count)), dim3(1), 0,
         product, Operand<T>(product.a, batch.a_step), Operand<T>(product.b, batch.b_step),
         Operand<Out>(product.added, batch.out_step));
}

}  // namespace

/// Like cuBLASLt, it does not support every epilogue for every product.
bool multiply(const Product& product) {
  if (product.epilogue == Epilogue::sums && product.dtype == DType::f32) return false;
  if (product.epilogue > Epilogue::sums && product.columns % 8 != 0) return false;
  visit_data(product.dtype, [&]<class T>(TypeTag<T>) {
    if (product.out_dtype == DType::f32) {
      launch_rows<T, float>(product);
    } else {
      launch_rows<T, T>(product);
    }
  });
  return true;
}

std::string multiplier() { return "naive products"; }

}  // namespace ssa::cuda
