// Filling and copying, for any dtype and any strides.

#include <cstring>
#include <type_traits>
#include <vector>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using cpu::parallel_parts;

namespace {

template <class T>
T from_double(double value) {
  if constexpr (sizeof(T) == 2) {
    return T(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
void fill_all(Tensor& out, double value) {
  const T element = from_double<T>(value);
  T* y = out.data<T>();
  parallel_parts(out.numel(), cpu::kPart,
                 [&](int64_t i, int64_t count) { std::fill_n(y + i, count, element); });
}

/// Two tensors of one shape, seen as rows. A row covers the innermost axes that are contiguous in
/// both tensors.
struct RowWalk {
  int64_t rows = 1, row_length = 1;
  std::vector<int64_t> extents, in_strides, out_strides;  // of the outer axes

  RowWalk(const Tensor& in, const Tensor& out) {
    int axis = in.rank() - 1;
    for (; axis >= 0; --axis) {
      const bool joins =
          in.dim(axis) == 1 || (in.stride(axis) == row_length && out.stride(axis) == row_length);
      if (!joins) break;
      row_length *= in.dim(axis);
    }
    for (int outer = 0; outer <= axis; ++outer) {
      rows *= in.dim(outer);
      extents.push_back(in.dim(outer));
      in_strides.push_back(in.stride(outer));
      out_strides.push_back(out.stride(outer));
    }
  }

  void offsets(int64_t row, int64_t& in_offset, int64_t& out_offset) const {
    in_offset = out_offset = 0;
    for (size_t axis = extents.size(); axis-- > 0;) {
      in_offset += row % extents[axis] * in_strides[axis];
      out_offset += row % extents[axis] * out_strides[axis];
      row /= extents[axis];
    }
  }
};

/// Calls f(offset in `in`, offset in `out`, elements) for runs that are contiguous in both.
template <class F>
void for_runs(const Tensor& in, const Tensor& out, const F& f) {
  if (in.numel() == 0) return;
  const RowWalk walk(in, out);
  if (walk.rows == 1) {
    return parallel_parts(walk.row_length, cpu::kPart,
                          [&](int64_t begin, int64_t count) { f(begin, begin, count); });
  }
  const int64_t rows_per_part = std::max<int64_t>(1, cpu::kPart / walk.row_length);
  parallel_parts(walk.rows, rows_per_part, [&](int64_t first, int64_t rows) {
    for (int64_t row = first; row < first + rows; ++row) {
      int64_t from = 0, to = 0;
      walk.offsets(row, from, to);
      f(from, to, walk.row_length);
    }
  });
}

void copy_bytes(const Tensor& in, Tensor& out) {
  const auto size = static_cast<int64_t>(size_of(in.dtype()));
  const std::byte* x = in.raw();
  std::byte* y = out.raw();
  for_runs(in, out, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(y + to * size, x + from * size, static_cast<size_t>(count * size));
  });
}

template <class From, class To>
void convert(const Tensor& in, Tensor& out) {
  const From* x = in.data<From>();
  To* y = out.data<To>();
  const cpu::ElementKernels<BFloat16>& halves = cpu::kernels().bf16;
  for_runs(in, out, [&](int64_t from, int64_t to, int64_t count) {
    if constexpr (std::is_same_v<From, float> && std::is_same_v<To, BFloat16>) {
      halves.scale_from_f32(x + from, 1.0f, y + to, count);
    } else if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, float>) {
      halves.to_f32(x + from, y + to, count);
    } else {
      for (int64_t i = 0; i < count; ++i) {
        y[to + i] = from_double<To>(static_cast<double>(x[from + i]));
      }
    }
  });
}

}  // namespace

void CpuBackend::fill(Tensor& out, double value) {
  checks::require_packed("fill", {"out", out}, out.dtype(), out.shape());
  if (out.dtype() == DType::i32) return fill_all<int32_t>(out, value);
  if (out.dtype() == DType::u8) return fill_all<uint8_t>(out, value);
  visit_floating(out.dtype(), [&]<class T>(TypeTag<T>) { fill_all<T>(out, value); });
}

void CpuBackend::copy(const Tensor& in, Tensor& out) {
  checks::require("copy", {"in", in}, in.dtype(), in.shape());
  checks::require("copy", {"out", out}, out.dtype(), in.shape());
  if (in.dtype() == out.dtype()) return copy_bytes(in, out);
  visit_floating(in.dtype(), [&]<class From>(TypeTag<From>) {
    visit_floating(out.dtype(), [&]<class To>(TypeTag<To>) { convert<From, To>(in, out); });
  });
}

}  // namespace ssa
