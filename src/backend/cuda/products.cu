// Matrix products: packed weights, and the steps around the multiplication (matmul.h).

#include <type_traits>
#include <utility>

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

/// The stacked parts in the dtype of the data. The multiplication transposes while it reads.
struct CudaPackedMatrix : PackedMatrix {
  // Rows are whole multiples of 16 bytes: other products are several times slower.
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

/// The bias in the dtype of out, as cuBLASLt wants it.
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

namespace {

/// The product of these arguments, with `bias` in place of theirs.
cuda::Product product_of(const MatmulArgs& args, const checks::Extents& extents,
                         const CudaPackedMatrix* packed, const Tensor& bias) {
  Tensor out = args.out;
  return {.rows = extents.rows,
          .columns = extents.columns,
          .inner = extents.inner,
          .a = view_of(args.a, args.transpose_a),
          .b = packed ? view_of(packed->stacked, packed->transposed)
                      : view_of(args.b, args.transpose_b),
          .dtype = args.a.dtype(),
          .bias = bias.defined() ? bias.raw() : nullptr,
          .added = view_of(args.accumulate ? out : args.residual),
          .out = out.raw(),
          .out_dtype = out.dtype()};
}

/// Multiplies with an epilogue. Returns false if cuBLASLt does not support it.
bool multiply_with(CudaBackend& backend, const MatmulArgs& args, cuda::Epilogue epilogue,
                   Tensor beside) {
  const auto extents = checks::require_product({"matmul", Device::cuda}, args);
  if (extents.rows == 0 || extents.columns == 0) return false;
  const Tensor bias = narrowed_bias(backend, args);
  cuda::Product product = product_of(args, extents, packed_operand(args), bias);
  product.epilogue = epilogue;
  product.beside = beside.raw();
  return cuda::multiply(product);
}

}  // namespace

void CudaBackend::matmul(const MatmulArgs& args) {
  const auto extents = checks::require_product({"matmul", Device::cuda}, args);
  const CudaPackedMatrix* packed = packed_operand(args);
  if (extents.rows == 0 || extents.columns == 0) return;
  if (args.accumulate && args.residual.defined()) {  // a product can add only one of the two
    Tensor out = args.out;
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
  cuda::multiply(product_of(args, extents, packed, bias));
}

namespace {

/// Elements from one matrix to the next along a batch axis.
cuda::Batch steps_along(int axis, const BatchedMatmulArgs& args) {
  return {.count = args.out.dim(axis),
          .a_step = checks::batch_stride(args.a, axis),
          .b_step = checks::batch_stride(args.b, axis),
          .out_step = checks::batch_stride(args.out, axis)};
}

/// Whether both batch axes can be merged into one: the outer one continues where the inner one
/// ends.
bool continues(const cuda::Batch& outer, const cuda::Batch& inner) {
  return outer.a_step == inner.count * inner.a_step && outer.b_step == inner.count * inner.b_step &&
         outer.out_step == inner.count * inner.out_step;
}

/// The address this many bytes after `first`.
template <class T>
T* moved(T* first, int64_t elements, DType dtype) {
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  return static_cast<Byte*>(first) + elements * static_cast<int64_t>(size_of(dtype));
}

}  // namespace

// cuBLASLt takes one batch axis. If two axes cannot be merged, it is called once per step along the
// shorter one.
void CudaBackend::batched_matmul(const BatchedMatmulArgs& args) {
  const auto extents = checks::require_batched_product({"batched_matmul", Device::cuda}, args);
  if (args.out.numel() == 0) return;
  cuda::Batch calls = steps_along(0, args), batch = steps_along(1, args);
  if (calls.count > batch.count) std::swap(calls, batch);
  if (continues(calls, batch)) {
    batch.count *= calls.count;
    calls.count = 1;
  } else if (continues(batch, calls)) {
    batch = {batch.count * calls.count, calls.a_step, calls.b_step, calls.out_step};
    calls.count = 1;
  }
  Tensor out = args.out;
  const int64_t out_stride = checks::matrix_row_stride(out);
  cuda::Product product{.rows = extents.rows,
                        .columns = extents.columns,
                        .inner = extents.inner,
                        .a = {args.a.raw(), checks::matrix_row_stride(args.a), args.transpose_a},
                        .b = {args.b.raw(), checks::matrix_row_stride(args.b), args.transpose_b},
                        .dtype = args.a.dtype(),
                        .out = out.raw(),
                        .out_dtype = out.dtype(),
                        .out_stride = out_stride,
                        .batch = batch};
  for (int64_t call = 0; call < calls.count; ++call) {
    if (args.accumulate) product.added = {product.out, out_stride, false};
    cuda::multiply(product);
    product.a.data = moved(product.a.data, calls.a_step, product.dtype);
    product.b.data = moved(product.b.data, calls.b_step, product.dtype);
    product.out = moved(product.out, calls.out_step, product.out_dtype);
  }
}

// cuBLASLt has only the tanh GELU. It refuses an unaligned bias or unaligned rows of its auxiliary
// output; then the primitives are called one by one.

bool CudaBackend::fuses(Activation kind, DType data) const {
  return kind == Activation::gelu_tanh && data != DType::f32;
}

void CudaBackend::matmul_activation(const MatmulArgs& args, Activation kind, Tensor& activated) {
  const Tensor& out = args.out;
  checks::require_packed({"matmul_activation", Device::cuda}, {"activated", activated}, out.dtype(),
                         out.shape());
  MatmulArgs product = args;
  product.out = activated;
  if (fuses(kind, args.a.dtype()) && out.dtype() == args.a.dtype() &&
      multiply_with(*this, product, cuda::Epilogue::gelu, out)) {
    return;
  }
  Backend::matmul_activation(args, kind, activated);
}

void CudaBackend::matmul_activation_backward(const MatmulArgs& args, Activation kind,
                                             const Tensor& in, Tensor& again) {
  checks::require_packed({"matmul_activation_backward", Device::cuda}, {"in", in}, args.out.dtype(),
                         args.out.shape());
  if (!fuses(kind, args.a.dtype()) || args.out.dtype() != args.a.dtype() ||
      !multiply_with(*this, args, cuda::Epilogue::gelu_gradient, in)) {
    return Backend::matmul_activation_backward(args, kind, in, again);
  }
  if (again.defined()) activation(kind, in, again);
}

void CudaBackend::weight_gradient(const WeightGradientArgs& args) {
  if (!args.grad_bias.defined()) return Backend::weight_gradient(args);
  checks::require_packed({"weight_gradient", Device::cuda}, {"grad_bias", args.grad_bias},
                         DType::f32, {args.grad_weight.dim(0)});
  Tensor bias = args.grad_bias;
  const Tensor sums =
      args.accumulate_bias ? Tensor::empty_like(bias, MemoryCategory::workspace) : bias;
  const MatmulArgs product{.a = args.grad_out,
                           .b = args.in,
                           .transpose_a = true,
                           .out = args.grad_weight,
                           .accumulate = args.accumulate_weight};
  if (!multiply_with(*this, product, cuda::Epilogue::sums, sums)) {
    return Backend::weight_gradient(args);
  }
  if (args.accumulate_bias) add(bias, sums, bias);
}

}  // namespace ssa
