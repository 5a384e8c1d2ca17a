#include "backend/cpu/int8_weights.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"
#include "backend/product_checks.h"

namespace ssa::cpu {

namespace {

int64_t stacked_rows(const std::vector<Tensor>& parts) {
  int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.dim(0);
  return rows;
}

Tensor empty(const Shape& shape, DType dtype, MemoryCategory category) {
  return Tensor::empty(shape, dtype, Device::cpu, category);
}

/// Returns the scale: weight ≈ scale · int8.
float quantise_row(const float* row, int64_t count, int8_t* out) {
  float largest = 0;
  for (int64_t k = 0; k < count; ++k) largest = std::max(largest, std::abs(row[k]));
  if (largest == 0) return 0;  // `out` stays 0
  const float to_int = 127.0f / largest;
  for (int64_t k = 0; k < count; ++k) {
    out[k] = static_cast<int8_t>(std::lround(std::clamp(row[k] * to_int, -127.0f, 127.0f)));
  }
  return largest / 127.0f;
}

}  // namespace

Int8Weights::Int8Weights(const std::vector<Tensor>& parts, DType data)
    : PackedMatrix(parts.front().dim(1), stacked_rows(parts), data),
      padded((rows() + kInt8Padding - 1) / kInt8Padding * kInt8Padding),
      values(
          Tensor::zeros({columns(), padded}, DType::u8, Device::cpu, MemoryCategory::parameters)),
      scales(empty({columns()}, DType::f32, MemoryCategory::parameters)) {
  auto* out = reinterpret_cast<int8_t*>(values.raw());
  float* scale = scales.data<float>();
  for (const Tensor& part : parts) {
    const float* first = part.data<float>();
    parallel_parts(part.dim(0), 16, [&](int64_t begin, int64_t count) {
      for (int64_t n = begin; n < begin + count; ++n) {
        scale[n] = quantise_row(first + n * part.stride(0), rows(), out + n * padded);
      }
    });
    out += part.dim(0) * padded;
    scale += part.dim(0);
  }
}

void Int8Weights::multiply(const MatmulArgs& args) const {
  SSA_CHECK(!args.transpose_a && !args.accumulate,
            "matmul: int8 weights take a as it is, and overwrite the result");
  const int64_t count = args.a.dim(0), outputs = columns();
  Tensor wide = Tensor::zeros({count, padded}, DType::f32, Device::cpu, MemoryCategory::workspace);
  Tensor inputs = wide.slice(1, 0, rows());
  cpu_backend().copy(args.a, inputs);
  const bool f32 = args.out.dtype() == DType::f32 && args.out.is_contiguous();
  Tensor sums = f32 ? args.out : empty({count, outputs}, DType::f32, MemoryCategory::workspace);
  Tensor residual;
  if (args.residual.defined()) {
    residual = empty({count, outputs}, DType::f32, MemoryCategory::workspace);
    cpu_backend().copy(args.residual, residual);
  }
  const Int8Product product{.a = wide.data<float>(),
                            .weights = reinterpret_cast<const int8_t*>(values.raw()),
                            .scales = scales.data<float>(),
                            .out = sums.data<float>(),
                            .rows = count,
                            .inner = padded,
                            .out_stride = outputs};
  const float* bias = args.bias.defined() ? args.bias.data<float>() : nullptr;
  parallel_parts(outputs, 64, [&](int64_t first, int64_t part) {
    kernels().int8_product(product, first, part);
    for (int64_t m = 0; m < count; ++m) {
      float* row = product.out + m * outputs;
      const float* add = residual.defined() ? residual.data<float>() + m * outputs : nullptr;
      for (int64_t n = first; n < first + part; ++n) {
        if (bias) row[n] += bias[n];
        if (add) row[n] += add[n];
      }
    }
  });
  Tensor out = args.out;
  if (!f32) cpu_backend().copy(sums, out);
}

}  // namespace ssa::cpu

namespace ssa {

std::shared_ptr<PackedMatrix> CpuBackend::pack_int8(const std::vector<Tensor>& parts, DType data) {
  SSA_CHECK(supports(data), "pack_int8: the cpu backend multiplies f32 and bf16, not {}",
            name(data));
  checks::require_parts("pack_int8", parts, true);
  return std::make_shared<cpu::Int8Weights>(parts, data);
}

}  // namespace ssa
