#pragma once

#include <cstdint>
#include <type_traits>

#include "ssa/core/tensor.h"

namespace ssa::reference {

/// Reads and writes elements of any floating type as f64.
template <class T>
double get(const T& element) {
  return static_cast<double>(element);
}
template <class T>
void set(T& element, double value) {
  if constexpr (sizeof(T) == 2) {
    element = T(static_cast<float>(value));
  } else {
    element = static_cast<T>(value);
  }
}

/// The type of parameters and statistics for data of type T.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// Calls f(get(in[i])) for every element and stores the result.
template <class F>
void map(const Tensor& in, Tensor& out, F&& f) {
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t i = 0; i < in.numel(); ++i) set(y[i], f(get(x[i]), i));
  });
}

/// The same with two inputs.
template <class F>
void map(const Tensor& in0, const Tensor& in1, Tensor& out, F&& f) {
  visit_floating(in0.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x0 = in0.data<T>();
    const T* x1 = in1.data<T>();
    T* y = out.data<T>();
    for (int64_t i = 0; i < in0.numel(); ++i) set(y[i], f(get(x0[i]), get(x1[i])));
  });
}

}  // namespace ssa::reference
