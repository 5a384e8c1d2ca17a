#include <cmath>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

void ReferenceBackend::layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift,
                                  double eps, Tensor& out, Tensor& mean, Tensor& rstd) {
  const int64_t rows = in.dim(0), columns = in.dim(1);
  const auto width = static_cast<double>(columns);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    visit_floating(mean.dtype(), [&]<class S>(TypeTag<S>) {
      for (int64_t r = 0; r < rows; ++r) {
        const T* x = in.data<T>() + r * columns;
        T* y = out.data<T>() + r * columns;
        double total = 0, squares = 0;
        for (int64_t n = 0; n < columns; ++n) total += get(x[n]);
        const double mu = total / width;
        for (int64_t n = 0; n < columns; ++n) squares += (get(x[n]) - mu) * (get(x[n]) - mu);
        const double inverse = 1.0 / std::sqrt(squares / width + eps);
        for (int64_t n = 0; n < columns; ++n) {
          set(y[n], (get(x[n]) - mu) * inverse * get(gain.data<T>()[n]) + get(shift.data<T>()[n]));
        }
        set(mean.data<S>()[r], mu);
        set(rstd.data<S>()[r], inverse);
      }
    });
  });
}

// With x̂ = (x - mean)·rstd and g = grad_out·gain:
//   grad_in = rstd · (g - mean(g) - x̂ · mean(g·x̂))
void ReferenceBackend::layer_norm_backward(const Tensor& in, const Tensor& gain, const Tensor& mean,
                                           const Tensor& rstd, const Tensor& grad_out,
                                           Tensor& grad_in, Tensor& grad_gain, Tensor& grad_shift) {
  const int64_t rows = in.dim(0), columns = in.dim(1);
  const auto width = static_cast<double>(columns);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    visit_floating(mean.dtype(), [&]<class S>(TypeTag<S>) {
      for (int64_t r = 0; r < rows; ++r) {
        const T* x = in.data<T>() + r * columns;
        const T* dy = grad_out.data<T>() + r * columns;
        T* dx = grad_in.data<T>() + r * columns;
        const double mu = get(mean.data<S>()[r]), inverse = get(rstd.data<S>()[r]);
        double mean_g = 0, mean_gx = 0;
        for (int64_t n = 0; n < columns; ++n) {
          const double normed = (get(x[n]) - mu) * inverse;
          const double g = get(dy[n]) * get(gain.data<T>()[n]);
          mean_g += g / width;
          mean_gx += g * normed / width;
          T& to_gain = grad_gain.data<T>()[n];
          T& to_shift = grad_shift.data<T>()[n];
          set(to_gain, get(to_gain) + get(dy[n]) * normed);
          set(to_shift, get(to_shift) + get(dy[n]));
        }
        for (int64_t n = 0; n < columns; ++n) {
          const double normed = (get(x[n]) - mu) * inverse;
          const double g = get(dy[n]) * get(gain.data<T>()[n]);
          set(dx[n], inverse * (g - mean_g - normed * mean_gx));
        }
      }
    });
  });
}

}  // namespace ssa
