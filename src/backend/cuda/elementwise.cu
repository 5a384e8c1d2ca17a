// Elementwise primitives: one pass, one thread per 16 bytes.

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/normal.cuh"
#include "backend/cuda/recording.h"
#include "backend/cuda/visit_data.h"
#include "backend/dropout_checks.h"

namespace ssa {
namespace cuda {
namespace {

constexpr unsigned kThreads = 256;

/// The first element of this thread's chunk.
template <class T>
__device__ int64_t my_first() {
  return (int64_t{blockIdx.x} * kThreads + threadIdx.x) * Chunk<T>::kSize;
}

/// Blocks for all chunks of this many elements.
template <class T>
unsigned blocks_for(int64_t size) {
  constexpr int64_t kBlock = int64_t{kThreads} * Chunk<T>::kSize;
  return static_cast<unsigned>((size + kBlock - 1) / kBlock);
}

/// The extent of arrays that may be the same: a thread reads all its inputs before it writes.
struct Extent {
  int64_t size;
  bool aligned;  ///< all arrays begin on 16 bytes
};

template <class T, class F>
__global__ void __launch_bounds__(kThreads) map_one(const T* in, T* out, Extent extent, F f) {
  const int64_t i = my_first<T>();
  if (i >= extent.size) return;
  Chunk<T> x = read_chunk(in, i, extent.size, extent.aligned);
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) x.set(k, f(x[k]));
  write_chunk(out, i, extent.size, extent.aligned, x);
}

template <class T, class F>
__global__ void __launch_bounds__(kThreads)
    map_two(const T* a, const T* b, T* out, Extent extent, F f) {
  const int64_t i = my_first<T>();
  if (i >= extent.size) return;
  Chunk<T> x = read_chunk(a, i, extent.size, extent.aligned);
  const Chunk<T> y = read_chunk(b, i, extent.size, extent.aligned);
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) x.set(k, f(x[k], y[k]));
  write_chunk(out, i, extent.size, extent.aligned, x);
}

/// `value`, unless null, receives f(in).
template <class T, class F>
__global__ void __launch_bounds__(kThreads)
    map_gradient(const T* in, const T* grad_out, T* grad_in, T* value, Extent extent, F f) {
  const int64_t i = my_first<T>();
  if (i >= extent.size) return;
  const Chunk<T> x = read_chunk(in, i, extent.size, extent.aligned);
  Chunk<T> grad = read_chunk(grad_out, i, extent.size, extent.aligned), values;
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) {
    const ValueAndSlope at = f.with_slope(x[k]);
    grad.set(k, grad[k] * at.slope);
    values.set(k, at.value);
  }
  write_chunk(grad_in, i, extent.size, extent.aligned, grad);
  if (value) write_chunk(value, i, extent.size, extent.aligned, values);
}

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct Scale {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};

/// GELU x·Φ(x), as exact as T can represent.
template <class T>
struct Gelu {
  __device__ float operator()(float x) const { return gelu<T>(x).value; }
  __device__ ValueAndSlope with_slope(float x) const { return gelu<T>(x); }
};

struct GeluTanh {
  __device__ float operator()(float x) const { return gelu_tanh(x).value; }
  __device__ ValueAndSlope with_slope(float x) const { return gelu_tanh(x); }
};

// Written so that NaN stays NaN.
struct Relu {
  __device__ float operator()(float x) const { return x > 0.0f ? x : 0.0f; }
  __device__ ValueAndSlope with_slope(float x) const {
    return {x > 0.0f ? x : 0.0f, x > 0.0f ? 1.0f : 0.0f};
  }
};

struct Elu {
  __device__ float operator()(float x) const { return x > 0.0f ? x : expm1f(x); }
  __device__ ValueAndSlope with_slope(float x) const {
    const float value = x > 0.0f ? x : expm1f(x);
    return {value, x > 0.0f ? 1.0f : expf(x)};
  }
};

/// Calls g(functor) with the activation function of this kind, for data of type T.
template <class T, class G>
void visit_activation(Activation kind, G&& g) {
  switch (kind) {
    case Activation::gelu:
      return g(Gelu<T>{});
    case Activation::gelu_tanh:
      return g(GeluTanh{});
    case Activation::relu:
      return g(Relu{});
    case Activation::elu:
      return g(Elu{});
  }
  throw ShapeError("activation: unknown kind {}", static_cast<int>(kind));
}

/// The arguments of a dropout kernel.
struct Mask {
  StepKey key;
  uint32_t threshold;
  float keep_scale;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    drop(const T* in, const T* residual, T* out, Extent extent, Mask mask) {
  static_assert(Chunk<T>::kSize % 4 == 0);  // a Philox block is four words
  const int64_t i = my_first<T>();
  if (i >= extent.size) return;
  Chunk<T> x = read_chunk(in, i, extent.size, extent.aligned), base;
  if (residual) base = read_chunk(residual, i, extent.size, extent.aligned);
  const RngKey key = mask.key.now();
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; k += 4) {
    const auto words = key.words(static_cast<uint32_t>((i + k) / 4));
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const float kept =
          words[static_cast<size_t>(w)] < mask.threshold ? 0.0f : x[k + w] * mask.keep_scale;
      x.set(k + w, residual ? base[k + w] + kept : kept);
    }
  }
  write_chunk(out, i, extent.size, extent.aligned, x);
}

/// The same with one word for every `group` elements.
template <class T>
__global__ void __launch_bounds__(kThreads)
    drop_groups(const T* in, const T* residual, T* out, Extent extent, Mask mask, int64_t group) {
  const int64_t i = my_first<T>();
  if (i >= extent.size) return;
  Chunk<T> x = read_chunk(in, i, extent.size, extent.aligned), base;
  if (residual) base = read_chunk(residual, i, extent.size, extent.aligned);
  const RngKey key = mask.key.now();
  int64_t number = i / group, left = group - i % group;  // of the group; elements left in it
  bool dropped = key.word(static_cast<uint64_t>(number)) < mask.threshold;
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) {
    if (left == 0) {
      dropped = key.word(static_cast<uint64_t>(++number)) < mask.threshold;
      left = group;
    }
    --left;
    const float kept = dropped ? 0.0f : x[k] * mask.keep_scale;
    x.set(k, residual ? base[k] + kept : kept);
  }
  write_chunk(out, i, extent.size, extent.aligned, x);
}

// Written so that a difference of 0 or NaN stays unchanged.
__device__ inline float with_sign_of(float difference, float value) {
  if (difference > 0.0f) return value;
  return difference < 0.0f ? -value : difference;
}

struct AbsoluteError {
  __device__ float operator()(float prediction, float target) const {
    return fabsf(prediction - target);
  }
};

__global__ void __launch_bounds__(kThreads)
    absolute_error_gradient(const float* prediction, const float* target, const float* grad_loss,
                            float* grad_prediction, Extent extent) {
  const int64_t i = my_first<float>();
  if (i >= extent.size) return;
  const Chunk<float> x = read_chunk(prediction, i, extent.size, extent.aligned);
  const Chunk<float> wanted = read_chunk(target, i, extent.size, extent.aligned);
  Chunk<float> grad = read_chunk(grad_loss, i, extent.size, extent.aligned);
#pragma unroll
  for (int k = 0; k < Chunk<float>::kSize; ++k) {
    grad.set(k, with_sign_of(x[k] - wanted[k], grad[k]));
  }
  write_chunk(grad_prediction, i, extent.size, extent.aligned, grad);
}

}  // namespace
}  // namespace cuda

using checks::require_alike;
using checks::require_data;
using cuda::is_aligned;
using cuda::visit_data;

void CudaBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  require_data({"add", Device::cuda}, {{"a", a}, {"b", b}, {"out", out}});
  if (out.numel() == 0) return;
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    const T *x = a.data<T>(), *y = b.data<T>();
    T* z = out.data<T>();
    const cuda::Extent extent{out.numel(), is_aligned(x) && is_aligned(y) && is_aligned(z)};
    cuda::launch("add", cuda::map_two<T, cuda::Add>, cuda::blocks_for<T>(extent.size),
                 cuda::kThreads, 0, x, y, z, extent, cuda::Add{});
  });
}

namespace {

/// out = f(in)
template <class T, class F>
void map(const char* op, const Tensor& in, Tensor& out, const F& f) {
  if (out.numel() == 0) return;
  const T* x = in.data<T>();
  T* y = out.data<T>();
  const cuda::Extent extent{out.numel(), is_aligned(x) && is_aligned(y)};
  cuda::launch(op, cuda::map_one<T, F>, cuda::blocks_for<T>(extent.size), cuda::kThreads, 0, x, y,
               extent, f);
}

}  // namespace

void CudaBackend::scale(const Tensor& in, double factor, Tensor& out) {
  require_data({"scale", Device::cuda}, {{"in", in}, {"out", out}});
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    map<T>("scale", in, out, cuda::Scale{static_cast<float>(factor)});
  });
}

void CudaBackend::activation(Activation kind, const Tensor& in, Tensor& out) {
  require_data({"activation", Device::cuda}, {{"in", in}, {"out", out}});
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::visit_activation<T>(kind, [&](const auto& f) { map<T>("activation", in, out, f); });
  });
}

void CudaBackend::activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                                      Tensor& grad_in, Tensor& out) {
  const checks::Op op("activation_backward", Device::cuda);
  require_data(op, {{"in", in}, {"grad_out", grad_out}, {"grad_in", grad_in}});
  if (out.defined()) require_data(op, {{"in", in}, {"out", out}});
  if (in.numel() == 0) return;
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>) {
    const T *x = in.data<T>(), *dy = grad_out.data<T>();
    T *dx = grad_in.data<T>(), *y = out.defined() ? out.data<T>() : nullptr;
    const cuda::Extent extent{in.numel(),
                              is_aligned(x) && is_aligned(dy) && is_aligned(dx) && is_aligned(y)};
    cuda::visit_activation<T>(kind, [&]<class F>(const F& f) {
      cuda::launch("activation_backward", cuda::map_gradient<T, F>,
                   cuda::blocks_for<T>(extent.size), cuda::kThreads, 0, x, dy, dx, y, extent, f);
    });
  });
}

void CudaBackend::dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
                          Tensor& out) {
  const checks::Op op("dropout", Device::cuda);
  require_data(op, {{"in", in}, {"out", out}});
  if (residual.defined()) require_data(op, {{"in", in}, {"residual", residual}});
  checks::require_dropout("dropout", dropout);
  if (out.numel() == 0) return;
  const cuda::Mask mask{cuda::step_key(dropout.key), dropout.threshold(),
                        static_cast<float>(1.0 / (1.0 - dropout.probability))};
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>) {
    const T *x = in.data<T>(), *base = residual.defined() ? residual.data<T>() : nullptr;
    T* y = out.data<T>();
    const cuda::Extent extent{out.numel(), is_aligned(x) && is_aligned(base) && is_aligned(y)};
    const unsigned blocks = cuda::blocks_for<T>(extent.size);
    if (dropout.group == 1) {
      cuda::launch("dropout", cuda::drop<T>, blocks, cuda::kThreads, 0, x, base, y, extent, mask);
    } else {
      cuda::launch("dropout", cuda::drop_groups<T>, blocks, cuda::kThreads, 0, x, base, y, extent,
                   mask, dropout.group);
    }
  });
}

void CudaBackend::absolute_error(const Tensor& prediction, const Tensor& target, Tensor& loss) {
  const checks::Op op("absolute_error", Device::cuda);
  require_alike(op, {{"prediction", prediction}, {"target", target}, {"loss", loss}});
  if (loss.numel() == 0) return;
  const float *x = prediction.data<float>(), *wanted = target.data<float>();
  auto* y = loss.data<float>();
  const cuda::Extent extent{loss.numel(), is_aligned(x) && is_aligned(wanted) && is_aligned(y)};
  cuda::launch(op.name, cuda::map_two<float, cuda::AbsoluteError>,
               cuda::blocks_for<float>(extent.size), cuda::kThreads, 0, x, wanted, y, extent,
               cuda::AbsoluteError{});
}

void CudaBackend::absolute_error_backward(const Tensor& prediction, const Tensor& target,
                                          const Tensor& grad_loss, Tensor& grad_prediction) {
  const checks::Op op("absolute_error_backward", Device::cuda);
  require_alike(op, {{"prediction", prediction},
                     {"target", target},
                     {"grad_loss", grad_loss},
                     {"grad_prediction", grad_prediction}});
  if (grad_prediction.numel() == 0) return;
  const float *x = prediction.data<float>(), *wanted = target.data<float>();
  const auto* dy = grad_loss.data<float>();
  auto* dx = grad_prediction.data<float>();
  const bool aligned = is_aligned(x) && is_aligned(wanted) && is_aligned(dy) && is_aligned(dx);
  const cuda::Extent extent{grad_prediction.numel(), aligned};
  cuda::launch(op.name, cuda::absolute_error_gradient, cuda::blocks_for<float>(extent.size),
               cuda::kThreads, 0, x, wanted, dy, dx, extent);
}

}  // namespace ssa
