// Filling, copying, elementwise functions and plain sums.

#include <cmath>
#include <cstring>
#include <vector>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

Backend& reference_backend() {
  static ReferenceBackend instance;
  return instance;
}

void ReferenceBackend::fill(Tensor& out, double value) {
  visit_floating(out.dtype(), [&]<class T>(TypeTag<T>) {
    T* y = out.data<T>();
    for (int64_t i = 0; i < out.numel(); ++i) set(y[i], value);
  });
}

namespace {

/// Calls f(offset in `in`, offset in `out`) for every element, in row-major order.
template <class F>
void for_each_offset(const Tensor& in, const Tensor& out, F&& f) {
  const int rank = in.rank();
  std::vector<int64_t> index(static_cast<size_t>(rank), 0);
  for (int64_t count = 0; count < in.numel(); ++count) {
    int64_t from = 0, to = 0;
    for (int axis = 0; axis < rank; ++axis) {
      from += index[static_cast<size_t>(axis)] * in.stride(axis);
      to += index[static_cast<size_t>(axis)] * out.stride(axis);
    }
    f(from, to);
    for (int axis = rank - 1; axis >= 0; --axis) {
      if (++index[static_cast<size_t>(axis)] < in.dim(axis)) break;
      index[static_cast<size_t>(axis)] = 0;
    }
  }
}

}  // namespace

void ReferenceBackend::copy(const Tensor& in, Tensor& out) {
  if (in.dtype() == out.dtype()) {
    const size_t size = size_of(in.dtype());
    for_each_offset(in, out, [&](int64_t from, int64_t to) {
      std::memcpy(out.raw() + to * static_cast<int64_t>(size),
                  in.raw() + from * static_cast<int64_t>(size), size);
    });
    return;
  }
  visit_floating(in.dtype(), [&]<class From>(TypeTag<From>) {
    visit_floating(out.dtype(), [&]<class To>(TypeTag<To>) {
      const From* x = in.data<From>();
      To* y = out.data<To>();
      for_each_offset(in, out, [&](int64_t from, int64_t to) { set(y[to], get(x[from])); });
    });
  });
}

void ReferenceBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  reference::map(a, b, out, [](double x, double y) { return x + y; });
}

void ReferenceBackend::scale(const Tensor& in, double factor, Tensor& out) {
  reference::map(in, out, [&](double x, int64_t) { return factor * x; });
}

namespace {

constexpr double kPi = 3.14159265358979323846;

/// The argument of tanh.
double tanh_argument(double x) { return std::sqrt(2.0 / kPi) * (x + 0.044715 * x * x * x); }

double activate(Activation kind, double x) {
  switch (kind) {
    case Activation::gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(tanh_argument(x)));
    case Activation::relu:
      return x > 0 ? x : 0.0;
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
  }
  return x;
}

double activate_slope(Activation kind, double x) {
  switch (kind) {
    case Activation::gelu: {  // Φ(x) + x·φ(x)
      const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * kPi);
      return 0.5 * (1.0 + std::erf(x / std::sqrt(2.0))) + x * density;
    }
    case Activation::gelu_tanh: {
      const double tanh = std::tanh(tanh_argument(x));
      const double inner = std::sqrt(2.0 / kPi) * (1.0 + 3 * 0.044715 * x * x);
      return 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner;
    }
    case Activation::relu:
      return x > 0 ? 1.0 : 0.0;
    case Activation::elu:
      return x > 0 ? 1.0 : std::exp(x);
  }
  return 1.0;
}

}  // namespace

void ReferenceBackend::activation(Activation kind, const Tensor& in, Tensor& out) {
  reference::map(in, out, [&](double x, int64_t) { return activate(kind, x); });
}

void ReferenceBackend::activation_backward(Activation kind, const Tensor& in,
                                           const Tensor& grad_out, Tensor& grad_in, Tensor& out) {
  reference::map(in, grad_out, grad_in,
                 [&](double x, double grad) { return grad * activate_slope(kind, x); });
  if (out.defined()) activation(kind, in, out);
}

void ReferenceBackend::dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
                               Tensor& out) {
  const double keep_scale = 1.0 / (1.0 - dropout.probability);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* base = residual.defined() ? residual.data<T>() : nullptr;
    reference::map(in, out, [&](double x, int64_t i) {
      const double kept = dropout.keeps(static_cast<uint64_t>(i)) ? x * keep_scale : 0.0;
      return base ? get(base[i]) + kept : kept;
    });
  });
}

void ReferenceBackend::gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) {
  for (int64_t s = 0; s < rows.numel(); ++s) {
    Tensor to = out.slice(1, s, 1);
    copy(in.slice(1, rows.data<int32_t>()[s], 1), to);
  }
}

void ReferenceBackend::gather_rows_backward(const Tensor& rows, const Tensor& grad_out,
                                            Tensor& grad_in) {
  const int64_t batch = grad_in.dim(0), length = grad_in.dim(1), width = grad_in.dim(2);
  visit_floating(grad_in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* from = grad_out.data<T>();
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t s = 0; s < rows.numel(); ++s) {
        T* to = grad_in.data<T>() + (b * length + rows.data<int32_t>()[s]) * width;
        for (int64_t n = 0; n < width; ++n, ++from) set(to[n], get(to[n]) + get(*from));
      }
    }
  });
}

double ReferenceBackend::sum_squares(const std::vector<Tensor>& in) {
  double total = 0;
  for (const Tensor& tensor : in) {
    visit_floating(tensor.dtype(), [&]<class T>(TypeTag<T>) {
      const T* x = tensor.data<T>();
      for (int64_t i = 0; i < tensor.numel(); ++i) total += get(x[i]) * get(x[i]);
    });
  }
  return total;
}

double ReferenceBackend::sum(const Tensor& in) {
  double total = 0;
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < in.numel(); ++i) total += get(in.data<T>()[i]);
  });
  return total;
}

}  // namespace ssa
