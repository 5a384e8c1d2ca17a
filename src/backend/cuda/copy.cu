// Filling and copying, for any dtype and any strides.

#include <cstring>

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"

namespace ssa {
namespace cuda {
namespace {

constexpr unsigned kThreads = 256;

unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

// ---- filling -----------------------------------------------------------------------------------

/// Bits is an unsigned integer of the elements' size.
template <class Bits>
__global__ void __launch_bounds__(kThreads)
    fill_with(Bits* out, int64_t size, bool aligned, Bits element) {
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * Chunk<Bits>::kSize;
  if (i >= size) return;
  Chunk<Bits> chunk;
#pragma unroll
  for (int k = 0; k < Chunk<Bits>::kSize; ++k) chunk.values[k] = element;
  write_chunk(out, i, size, aligned, chunk);
}

template <class Bits, class T>
void fill_all(Tensor& out, T element) {
  static_assert(sizeof(Bits) == sizeof(T));
  Bits bits{};
  std::memcpy(&bits, &element, sizeof bits);
  auto* y = reinterpret_cast<Bits*>(out.raw());
  constexpr int64_t kSize = Chunk<Bits>::kSize;
  launch("fill", fill_with<Bits>, blocks_for((out.numel() + kSize - 1) / kSize), kThreads, 0, y,
         out.numel(), is_aligned(y), bits);
}

// ---- copying -----------------------------------------------------------------------------------

constexpr int kMaxAxes = 8;

/// Two arrays of one shape, seen as rows that are contiguous in both.
struct Rows {
  int64_t count = 1;
  int64_t length = 1;
  int axes = 0;  ///< the outer axes, innermost first, joined where possible
  int64_t extents[kMaxAxes] = {}, in_strides[kMaxAxes] = {}, out_strides[kMaxAxes] = {};
};

/// a / b and a % b. 32 bits suffice nearly always, and are far faster.
struct Division {
  int64_t quotient, rest;
};
__device__ inline Division divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) {
    const auto quotient = static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
    return {quotient, static_cast<uint32_t>(a) - quotient * static_cast<uint32_t>(b)};
  }
  return {a / b, a % b};
}

template <class To, class From>
__device__ To convert(From value) {
  if constexpr (std::is_same_v<From, To>) {
    return value;
  } else if constexpr (std::is_same_v<From, double>) {
    return from_float<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, double>) {
    return static_cast<double>(to_float(value));
  } else {
    return from_float<To>(to_float(value));
  }
}

/// kCount elements, a whole number of 16-byte chunks.
template <class T, int kCount>
struct Run {
  static constexpr int kSize = Chunk<T>::kSize;
  static_assert(kCount % kSize == 0);
  Chunk<T> chunks[kCount / kSize];
  __device__ T& operator[](int k) { return chunks[k / kSize].values[k % kSize]; }
};

/// A thread copies kCount consecutive elements of a row. If kCount > 1, rows begin on 16 bytes, and
/// it uses 16-byte loads and stores.
template <class From, class To, int kCount>
__global__ void __launch_bounds__(kThreads) copy_rows(const From* in, To* out, Rows rows) {
  const int64_t runs = kCount == 1 ? rows.length : (rows.length + kCount - 1) / kCount;
  const Division place = divide(int64_t{blockIdx.x} * kThreads + threadIdx.x, runs);
  if (place.quotient >= rows.count) return;
  int64_t row = place.quotient;
  const int64_t column = place.rest * kCount;
  for (int axis = 0; axis < rows.axes; ++axis) {
    const Division at = divide(row, rows.extents[axis]);
    in += at.rest * rows.in_strides[axis];
    out += at.rest * rows.out_strides[axis];
    row = at.quotient;
  }
  if constexpr (kCount == 1) {
    out[column] = convert<To>(in[column]);
  } else if (column + kCount <= rows.length) {
    Run<From, kCount> from;
    Run<To, kCount> to;
#pragma unroll
    for (int k = 0; k < kCount; k += from.kSize) {
      from.chunks[k / from.kSize] = load_chunk(in + column + k);
    }
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = convert<To>(from[k]);
#pragma unroll
    for (int k = 0; k < kCount; k += to.kSize) {
      store_chunk(out + column + k, to.chunks[k / to.kSize]);
    }
  } else {
    for (int64_t c = column; c < rows.length; ++c) out[c] = convert<To>(in[c]);
  }
}

/// Drops axes of extent 1, and joins axes that are consecutive in both arrays.
Rows find_rows(const Tensor& in, const Tensor& out) {
  Rows rows;
  for (int axis = in.rank() - 1; axis >= 0; --axis) {
    const int64_t extent = in.dim(axis), from = in.stride(axis), to = out.stride(axis);
    if (extent == 1) continue;
    if (rows.axes == 0 && from == rows.length && to == rows.length) {
      rows.length *= extent;
      continue;
    }
    const int last = rows.axes - 1;
    if (last >= 0 && from == rows.extents[last] * rows.in_strides[last] &&
        to == rows.extents[last] * rows.out_strides[last]) {
      rows.extents[last] *= extent;
    } else {
      SSA_CHECK(rows.axes < kMaxAxes, "copy: more than {} axes on cuda", kMaxAxes);
      rows.extents[rows.axes] = extent;
      rows.in_strides[rows.axes] = from;
      rows.out_strides[rows.axes] = to;
      ++rows.axes;
    }
    rows.count *= extent;
  }
  return rows;
}

template <class From, class To>
bool all_aligned(const From* in, const To* out, const Rows& rows) {
  bool aligned = is_aligned(in) && is_aligned(out);
  for (int axis = 0; axis < rows.axes; ++axis) {
    aligned = aligned && rows_are_aligned(in, rows.in_strides[axis]) &&
              rows_are_aligned(out, rows.out_strides[axis]);
  }
  return aligned;
}

template <class From, class To>
void copy_all(const From* in, To* out, const Rows& rows) {
  constexpr int kCount = std::max(Chunk<From>::kSize, Chunk<To>::kSize);
  if (rows.length >= kCount && all_aligned(in, out, rows)) {
    const int64_t runs = (rows.length + kCount - 1) / kCount;
    launch("copy", copy_rows<From, To, kCount>, blocks_for(rows.count * runs), kThreads, 0, in, out,
           rows);
  } else {
    launch("copy", copy_rows<From, To, 1>, blocks_for(rows.count * rows.length), kThreads, 0, in,
           out, rows);
  }
}

template <class Bits>
void copy_bits(const Tensor& in, Tensor& out, const Rows& rows) {
  copy_all(reinterpret_cast<const Bits*>(in.raw()), reinterpret_cast<Bits*>(out.raw()), rows);
}

void copy_same(const Tensor& in, Tensor& out, const Rows& rows) {
  if (rows.count == 1) {
    check(cudaMemcpyAsync(out.raw(), in.raw(), in.bytes(), cudaMemcpyDeviceToDevice, stream()),
          "copy");
    return;
  }
  switch (size_of(in.dtype())) {
    case 1:
      return copy_bits<uint8_t>(in, out, rows);
    case 2:
      return copy_bits<uint16_t>(in, out, rows);
    case 4:
      return copy_bits<uint32_t>(in, out, rows);
    default:
      return copy_bits<uint64_t>(in, out, rows);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::fill(Tensor& out, double value) {
  checks::require_packed({"fill", Device::cuda}, {"out", out}, out.dtype(), out.shape());
  if (out.numel() == 0) return;
  switch (out.dtype()) {
    case DType::f64:
      return cuda::fill_all<uint64_t>(out, value);
    case DType::f32:
      return cuda::fill_all<uint32_t>(out, static_cast<float>(value));
    case DType::bf16:
      return cuda::fill_all<uint16_t>(out, BFloat16(static_cast<float>(value)));
    case DType::f16:
      return cuda::fill_all<uint16_t>(out, Float16(static_cast<float>(value)));
    case DType::i32:
      return cuda::fill_all<uint32_t>(out, static_cast<int32_t>(value));
    case DType::u8:
      return cuda::fill_all<uint8_t>(out, static_cast<uint8_t>(value));
  }
}

void CudaBackend::copy(const Tensor& in, Tensor& out) {
  const checks::Op op("copy", Device::cuda);
  checks::require(op, {"in", in}, in.dtype(), in.shape());
  checks::require(op, {"out", out}, out.dtype(), in.shape());
  if (in.numel() == 0) return;
  const cuda::Rows rows = cuda::find_rows(in, out);
  if (in.dtype() == out.dtype()) return cuda::copy_same(in, out, rows);
  visit_floating(in.dtype(), [&]<class From>(TypeTag<From>) {
    visit_floating(out.dtype(), [&]<class To>(TypeTag<To>) {
      if constexpr (!std::is_same_v<From, To>) {
        cuda::copy_all(in.data<From>(), out.data<To>(), rows);
      }
    });
  });
}

}  // namespace ssa
