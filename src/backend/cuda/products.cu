// Matrix products: packed weights, and what is around the multiplication itself (matmul.h).

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/matmul.h"
#include "backend/product_checks.h"

namespace ssa {

namespace {

using cuda::MatrixView;

MatrixView view_of(const Tensor& matrix, bool transposed = false) {
  if (!matrix.defined()) return {};
  return {matrix.raw(), checks::row_stride(matrix), transposed};
}

/// The parts as they are stacked, in the dtype of the data: multiplication transposes as it reads.
struct CudaPackedMatrix : PackedMatrix {
  // Rows of whole 16 bytes: products of others are several times slower.
  static constexpr int64_t kUnit = 8;
  Tensor stacked;
  bool transposed;

  CudaPackedMatrix(const Shape& shape, DType data, bool is_transposed)
      : PackedMatrix(shape[0], shape[1], data), transposed(is_transposed) {
    const int64_t height = shape[transposed ? 1 : 0], width = shape[transposed ? 0 : 1];
    const int64_t stride = (width + kUnit - 1) / kUnit * kUnit;
    stacked = Tensor::empty({height, stride}, data, Device::cuda, MemoryCategory::parameters)
                  .slice(1, 0, width);
  }
};

const CudaPackedMatrix* packed_operand(const MatmulArgs& args) {
  const auto* packed = dynamic_cast<const CudaPackedMatrix*>(args.packed_b.get());
  SSA_CHECK(packed || !args.packed_b, "matmul: packed_b was packed by another backend");
  return packed;
}

/// The bias in the dtype of out, which is how it is added.
Tensor narrowed_bias(CudaBackend& backend, const MatmulArgs& args) {
  constexpr uintptr_t kAlignment = 16;
  if (!args.bias.defined()) return args.bias;
  const bool aligned = reinterpret_cast<uintptr_t>(args.bias.raw()) % kAlignment == 0;
  if (args.bias.dtype() == args.out.dtype() && aligned) return args.bias;
  Tensor bias =
      Tensor::empty(args.bias.shape(), args.out.dtype(), Device::cuda, MemoryCategory::workspace);
  backend.copy(args.bias, bias);
  return bias;
}

}  // namespace

std::shared_ptr<PackedMatrix> CudaBackend::pack(const std::vector<Tensor>& parts, bool transpose,
                                                DType data, std::shared_ptr<PackedMatrix> reuse) {
  SSA_CHECK(supports(data), "pack: the cuda backend multiplies f32, bf16 and f16, not {}",
            name(data));
  const Shape shape = checks::require_parts({"pack", Device::cuda}, parts, transpose);
  auto packed = std::dynamic_pointer_cast<CudaPackedMatrix>(reuse);
  if (!packed || packed->rows() != shape[0] || packed->columns() != shape[1] ||
      packed->dtype() != data || packed->transposed != transpose) {
    packed = std::make_shared<CudaPackedMatrix>(shape, data, transpose);
  }
  int64_t first = 0;
  for (const Tensor& part : parts) {
    Tensor place = packed->stacked.slice(0, first, part.dim(0));
    copy(part, place);
    first += part.dim(0);
  }
  return packed;
}

void CudaBackend::matmul(const MatmulArgs& args) {
  const CudaPackedMatrix* packed = packed_operand(args);
  const auto [rows, columns, inner] = checks::require_product({"matmul", Device::cuda}, args);
  if (rows == 0 || columns == 0) return;
  Tensor out = args.out;
  if (args.accumulate && args.residual.defined()) {  // only one of the two goes into a product
    Tensor sum = Tensor::empty(out.shape(), DType::f32, Device::cuda, MemoryCategory::workspace);
    Tensor earlier = Tensor::empty_like(sum, MemoryCategory::workspace);
    copy(args.residual, sum);
    copy(out, earlier);
    add(sum, earlier, sum);
    MatmulArgs rest = args;
    rest.residual = {};
    rest.out = sum;
    matmul(rest);
    copy(sum, out);
    return;
  }
  const Tensor bias = narrowed_bias(*this, args);
  cuda::multiply({.rows = rows,
                  .columns = columns,
                  .inner = inner,
                  .a = view_of(args.a, args.transpose_a),
                  .b = packed ? view_of(packed->stacked, packed->transposed)
                              : view_of(args.b, args.transpose_b),
                  .dtype = args.a.dtype(),
                  .bias = bias.defined() ? bias.raw() : nullptr,
                  .added = view_of(args.accumulate ? out : args.residual),
                  .out = out.raw(),
                  .out_dtype = out.dtype()});
}

void CudaBackend::weight_gradient(const WeightGradientArgs& args) {
  if (!args.grad_bias.defined()) return Backend::weight_gradient(args);
  const checks::Op op("weight_gradient", Device::cuda);
  const MatmulArgs product{.a = args.grad_out,
                           .b = args.in,
                           .transpose_a = true,
                           .out = args.grad_weight,
                           .accumulate = args.accumulate_weight};
  const auto [rows, columns, inner] = checks::require_product(op, product);
  checks::require_packed(op, {"grad_bias", args.grad_bias}, DType::f32, {rows});
  if (rows == 0 || columns == 0) return Backend::weight_gradient(args);
  Tensor weight = args.grad_weight, bias = args.grad_bias;
  Tensor sums = args.accumulate_bias ? Tensor::empty_like(bias, MemoryCategory::workspace) : bias;
  const bool made =
      cuda::multiply({.rows = rows,
                      .columns = columns,
                      .inner = inner,
                      .a = view_of(args.grad_out, true),
                      .b = view_of(args.in),
                      .dtype = args.in.dtype(),
                      .added = args.accumulate_weight ? view_of(weight) : MatrixView{},
                      .out = weight.raw(),
                      .out_dtype = weight.dtype(),
                      .sums = sums.data<float>()});
  if (!made) return Backend::weight_gradient(args);
  if (args.accumulate_bias) add(bias, sums, bias);
}

}  // namespace ssa
