#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

void ReferenceBackend::matmul(const MatmulArgs& args) {
  const int64_t rows = args.out.dim(0), columns = args.out.dim(1);
  const int64_t inner = args.transpose_a ? args.a.dim(0) : args.a.dim(1);
  visit_floating(args.a.dtype(), [&]<class T>(TypeTag<T>) {
    const T* a = args.a.data<T>();
    const T* b = args.b.data<T>();
    const T* bias = args.bias.defined() ? args.bias.data<T>() : nullptr;
    Tensor out_tensor = args.out;
    T* out = out_tensor.data<T>();
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t n = 0; n < columns; ++n) {
        double total = args.accumulate ? get(out[m * columns + n]) : 0.0;
        if (bias) total += get(bias[n]);
        for (int64_t k = 0; k < inner; ++k) {
          const T& left = args.transpose_a ? a[k * rows + m] : a[m * inner + k];
          const T& right = args.transpose_b ? b[n * inner + k] : b[k * columns + n];
          total += get(left) * get(right);
        }
        set(out[m * columns + n], total);
      }
    }
  });
}

void ReferenceBackend::column_sum(const Tensor& in, Tensor& out, bool accumulate) {
  const int64_t rows = in.dim(0), columns = in.dim(1);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t n = 0; n < columns; ++n) {
      double total = accumulate ? get(y[n]) : 0.0;
      for (int64_t r = 0; r < rows; ++r) total += get(x[r * columns + n]);
      set(y[n], total);
    }
  });
}

}  // namespace ssa
