#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;
using reference::Wide;

namespace {

/// A plain row-major copy: (rows, columns).
struct PlainMatrix : PackedMatrix {
  Tensor values;
  PlainMatrix(int64_t rows, int64_t columns, DType dtype)
      : PackedMatrix(rows, columns, dtype),
        values(
            Tensor::empty({rows, columns}, dtype, Device::reference, MemoryCategory::parameters)) {}
};

/// Element (row, column) of op(matrix).
template <class T>
struct Operand {
  const T* data;
  int64_t row_stride, column_stride;
  /// The matrix, or the first of a batch: the last two axes are rows and columns.
  Operand(const Tensor& matrix, bool transposed)
      : data(matrix.data<T>()),
        row_stride(matrix.stride(transposed ? -1 : -2)),
        column_stride(matrix.stride(transposed ? -2 : -1)) {}
  double operator()(int64_t row, int64_t column) const {
    return get(data[row * row_stride + column * column_stride]);
  }
};

template <class T, class Out>
void multiply(const MatmulArgs& args, const Tensor& b) {
  const Operand<T> left(args.a, args.transpose_a), right(b, args.transpose_b);
  const int64_t inner = args.a.dim(args.transpose_a ? 0 : 1);
  const auto* bias = args.bias.defined() ? args.bias.data<Wide<T>>() : nullptr;
  Tensor out = args.out;
  for (int64_t m = 0; m < out.dim(0); ++m) {
    for (int64_t n = 0; n < out.dim(1); ++n) {
      Out& to = out.data<Out>()[m * out.dim(1) + n];
      double total = args.accumulate ? get(to) : 0.0;
      if (bias) total += get(bias[n]);
      if (args.residual.defined()) total += Operand<Out>(args.residual, false)(m, n);
      for (int64_t k = 0; k < inner; ++k) total += left(m, k) * right(k, n);
      set(to, total);
    }
  }
}

}  // namespace

void ReferenceBackend::matmul(const MatmulArgs& args) {
  const Tensor b = args.packed_b ? dynamic_cast<const PlainMatrix&>(*args.packed_b).values : args.b;
  visit_floating(args.a.dtype(), [&]<class T>(TypeTag<T>) {
    if (args.out.dtype() == args.a.dtype()) {
      multiply<T, T>(args, b);
    } else {
      multiply<T, Wide<T>>(args, b);
    }
  });
}

namespace {

/// Offset of matrix (i, j) in a tensor with two batch axes in front. A batch axis of size 1 is
/// broadcast.
int64_t offset_of(const Tensor& matrices, int64_t i, int64_t j) {
  return (matrices.dim(0) == 1 ? 0 : i * matrices.stride(0)) +
         (matrices.dim(1) == 1 ? 0 : j * matrices.stride(1));
}

template <class T, class Out>
void multiply_matrix(const BatchedMatmulArgs& args, int64_t i, int64_t j) {
  Operand<T> left(args.a, args.transpose_a), right(args.b, args.transpose_b);
  left.data += offset_of(args.a, i, j);
  right.data += offset_of(args.b, i, j);
  const int64_t inner = args.a.dim(args.transpose_a ? 2 : 3);
  Tensor out = args.out;
  for (int64_t m = 0; m < out.dim(2); ++m) {
    for (int64_t n = 0; n < out.dim(3); ++n) {
      Out& to = out.data<Out>()[offset_of(out, i, j) + m * out.stride(2) + n * out.stride(3)];
      double total = args.accumulate ? get(to) : 0.0;
      for (int64_t k = 0; k < inner; ++k) total += left(m, k) * right(k, n);
      set(to, total);
    }
  }
}

}  // namespace

void ReferenceBackend::batched_matmul(const BatchedMatmulArgs& args) {
  visit_floating(args.a.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < args.out.dim(0); ++i) {
      for (int64_t j = 0; j < args.out.dim(1); ++j) {
        if (args.out.dtype() == args.a.dtype()) {
          multiply_matrix<T, T>(args, i, j);
        } else {
          multiply_matrix<T, Wide<T>>(args, i, j);
        }
      }
    }
  });
}

std::shared_ptr<PackedMatrix> ReferenceBackend::pack(const std::vector<Tensor>& parts,
                                                     bool transpose, DType data,
                                                     std::shared_ptr<PackedMatrix> reuse) {
  int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.dim(0);
  const int64_t columns = parts.front().dim(1);
  auto packed = std::dynamic_pointer_cast<PlainMatrix>(reuse);
  if (!packed) {
    packed = transpose ? std::make_shared<PlainMatrix>(columns, rows, data)
                       : std::make_shared<PlainMatrix>(rows, columns, data);
  }
  const Tensor stacked = transpose ? packed->values.transpose(0, 1) : packed->values;
  int64_t first = 0;
  for (const Tensor& part : parts) {
    Tensor place = stacked.slice(0, first, part.dim(0));
    copy(part, place);
    first += part.dim(0);
  }
  return packed;
}

void ReferenceBackend::column_sum(const Tensor& in, Tensor& out, bool accumulate) {
  const int64_t rows = in.dim(0), columns = in.dim(1);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x = in.data<T>();
    auto* y = out.data<Wide<T>>();
    for (int64_t n = 0; n < columns; ++n) {
      double total = accumulate ? get(y[n]) : 0.0;
      for (int64_t r = 0; r < rows; ++r) total += get(x[r * in.stride(0) + n]);
      set(y[n], total);
    }
  });
}

}  // namespace ssa
