// Matrix products: their checks, packed weights, and bf16 products on machines without bf16
// instructions.

#include <algorithm>
#include <exception>

#include <omp.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/int8_weights.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/onednn_matmul.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/thread_scratch.h"
#include "backend/cpu/workspace_sizes.h"
#include "backend/product_checks.h"

namespace ssa {

using checks::Extents;

namespace {

struct CpuPackedMatrix : PackedMatrix {
  cpu::OnednnWeights weights;
  CpuPackedMatrix(int64_t rows, int64_t columns, DType data, DType stored)
      : PackedMatrix(rows, columns, data), weights(rows, columns, stored) {}
};

/// Whether SSA_CPU_ISA or a test has chosen kernels of a lower instruction set than this machine
/// has.
bool instructions_lowered() {
  for (const char* isa : {"amx", "avx512", "avx2", "baseline"}) {
    if (const cpu::Kernels* best = cpu::find_kernels(isa)) return best != &cpu::kernels();
  }
  return false;
}

/// The dtype that products of this data are computed in.
DType product_dtype(DType data) {
  return data == DType::bf16 && CpuBackend::bf16_is_native() ? DType::bf16 : DType::f32;
}

}  // namespace

bool CpuBackend::bf16_is_native() {
  return cpu::onednn_bf16_instructions() != cpu::Bf16Instructions::none && !instructions_lowered();
}

bool cpu::multiplies_in(DType data) { return size_of(product_dtype(data)) == size_of(data); }

int64_t cpu::packed_bytes(int64_t rows, int64_t columns, DType data) {
  return onednn_packed_bytes(rows, columns, product_dtype(data));
}

std::vector<int64_t> cpu::packing_workspace(const std::vector<Tensor>& parts, bool transpose) {
  // oneDNN packs blocks of columns, and each part begins a new block.
  constexpr int64_t kBlock = 64;
  int64_t scalars = 0;
  bool blocks_end_with_parts = true;
  for (const Tensor& part : parts) {
    scalars += part.numel();
    blocks_end_with_parts &= !transpose || part.dim(0) % kBlock == 0;
  }
  if (parts.size() == 1 || blocks_end_with_parts) return {};
  return {scalars * int64_t{sizeof(float)}};
}

std::shared_ptr<PackedMatrix> CpuBackend::pack(const std::vector<Tensor>& parts, bool transpose,
                                               DType data, std::shared_ptr<PackedMatrix> reuse) {
  SSA_CHECK(supports(data), "pack: the cpu backend multiplies f32 and bf16, not {}", name(data));
  const Shape shape = checks::require_parts("pack", parts, transpose);
  const int64_t rows = shape[0], columns = shape[1];
  auto packed = std::dynamic_pointer_cast<CpuPackedMatrix>(reuse);
  if (!packed || packed->rows() != rows || packed->columns() != columns ||
      packed->dtype() != data || packed->weights.dtype() != product_dtype(data)) {
    packed = std::make_shared<CpuPackedMatrix>(rows, columns, data, product_dtype(data));
  }
  packed->weights.write(parts, transpose);
  return packed;
}

namespace {

const CpuPackedMatrix* packed_operand(const MatmulArgs& args) {
  const auto* packed = dynamic_cast<const CpuPackedMatrix*>(args.packed_b.get());
  SSA_CHECK(packed || !args.packed_b, "matmul: packed_b was packed by another backend");
  return packed;
}

cpu::MatrixView view_of(const Tensor& matrix, bool transposed = false) {
  if (!matrix.defined()) return {};
  return {matrix.raw(), matrix.dtype(), checks::row_stride(matrix), transposed};
}

void multiply(const Extents& extents, const MatmulArgs& args, const CpuPackedMatrix* packed) {
  Tensor out = args.out;
  cpu::onednn_matmul({.rows = extents.rows,
                      .columns = extents.columns,
                      .inner = extents.inner,
                      .a = view_of(args.a, args.transpose_a),
                      .b = packed ? cpu::MatrixView{} : view_of(args.b, args.transpose_b),
                      .packed_b = packed ? &packed->weights : nullptr,
                      .bias = args.bias.defined() ? args.bias.data<float>() : nullptr,
                      .residual = view_of(args.residual),
                      .accumulate = args.accumulate,
                      .out = out.raw(),
                      .out_dtype = out.dtype()});
}

/// Whether our own kernel for weight gradients computes this product. It sums in f32, like oneDNN.
bool suits_transposed_product(const Extents& extents, const MatmulArgs& args) {
  constexpr int64_t kShortest = 256;  // below, packing costs more than it saves
  return cpu::kernels().transposed_product && args.a.dtype() == DType::bf16 && args.transpose_a &&
         args.b.defined() && !args.transpose_b && args.out.dtype() == DType::f32 &&
         !args.bias.defined() && !args.residual.defined() && extents.rows % 32 == 0 &&
         extents.columns % 32 == 0 && extents.inner % 32 == 0 && extents.inner >= kShortest;
}

/// The length of one of `parts` nearly equal parts of `extent`, a multiple of 32.
int64_t even_part(int64_t extent, int64_t parts) {
  return ((extent + parts - 1) / parts + 31) / 32 * 32;
}

/// Divides `out` into blocks that fit the cache, equally many per thread. The division changes no
/// sum.
void transposed_product(const Extents& extents, const MatmulArgs& args) {
  constexpr int64_t kRows = 512, kColumns = 512;
  int64_t across = (extents.rows + kRows - 1) / kRows;
  int64_t along = (extents.columns + kColumns - 1) / kColumns;
  while (across * along % omp_get_max_threads() != 0 && extents.rows / (across + 1) >= 64) ++across;
  Tensor out = args.out;
  const cpu::TransposedProduct whole{.left = args.a.data<BFloat16>(),
                                     .right = args.b.data<BFloat16>(),
                                     .out = out.data<float>(),
                                     .left_stride = checks::row_stride(args.a),
                                     .right_stride = checks::row_stride(args.b),
                                     .out_stride = extents.columns,
                                     .rows = even_part(extents.rows, across),
                                     .columns = even_part(extents.columns, along),
                                     .inner = extents.inner,
                                     .accumulate = args.accumulate};
  const cpu::ThreadScratch scratch(cpu::kernels().transposed_product_scratch(whole));
  cpu::parallel_items(across * along, [&](int64_t item) {
    const int64_t row = item / along * whole.rows, column = item % along * whole.columns;
    if (row >= extents.rows || column >= extents.columns) return;
    cpu::TransposedProduct block = whole;
    block.left += row;
    block.right += column;
    block.out += row * whole.out_stride + column;
    block.rows = std::min(whole.rows, extents.rows - row);
    block.columns = std::min(whole.columns, extents.columns - column);
    cpu::kernels().transposed_product(block, scratch.of_thread());
  });
}

/// A copy in f32, or the tensor itself if it is f32 or undefined.
Tensor widened(const Tensor& tensor) {
  if (!tensor.defined() || tensor.dtype() == DType::f32) return tensor;
  Tensor wide = Tensor::empty(tensor.shape(), DType::f32, Device::cpu, MemoryCategory::workspace);
  cpu_backend().copy(tensor, wide);
  return wide;
}

}  // namespace

void CpuBackend::matmul(const MatmulArgs& args) {
  const Extents extents = checks::require_product("matmul", args);
  if (extents.rows == 0 || extents.columns == 0) return;
  if (const auto* int8 = dynamic_cast<const cpu::Int8Weights*>(args.packed_b.get())) {
    return int8->multiply(args);
  }
  const CpuPackedMatrix* packed = packed_operand(args);
  const DType data = args.a.dtype();
  if ((packed ? packed->weights.dtype() : product_dtype(data)) == data) {
    if (suits_transposed_product(extents, args)) return transposed_product(extents, args);
    return multiply(extents, args, packed);
  }
  MatmulArgs wide = args;
  wide.a = widened(args.a);
  wide.b = widened(args.b);
  wide.residual = widened(args.residual);
  wide.out = widened(args.out);
  multiply(extents, wide, packed);
  Tensor out = args.out;
  if (out.dtype() == DType::bf16) copy(wide.out, out);
}

namespace {

/// The matrices of one operand: the first one's address, and the steps to the next.
struct MatrixBatch {
  Tensor tensor;
  std::byte* first;
  int64_t steps[2];  // in bytes, along the two batch axes

  explicit MatrixBatch(const Tensor& matrices) : tensor(matrices), first(tensor.raw()) {
    const auto size = static_cast<int64_t>(size_of(tensor.dtype()));
    for (const int axis : {0, 1}) steps[axis] = checks::batch_stride(tensor, axis) * size;
  }
  std::byte* at(int64_t i, int64_t j) const { return first + i * steps[0] + j * steps[1]; }
  cpu::MatrixView view(int64_t i, int64_t j, bool transposed) const {
    return {at(i, j), tensor.dtype(), checks::matrix_row_stride(tensor), transposed};
  }
};

/// Each product is done by one thread, so that no sum depends on the number of threads.
void multiply_batch(const Extents& extents, const BatchedMatmulArgs& args) {
  const MatrixBatch a(args.a), b(args.b), out(args.out);
  const int64_t inner_batch = args.out.dim(1);
  std::exception_ptr failure;  // an exception must not leave the parallel region
  cpu::parallel_items(args.out.dim(0) * inner_batch, [&](int64_t item) {
    const int64_t i = item / inner_batch, j = item % inner_batch;
    try {
      cpu::onednn_matmul({.rows = extents.rows,
                          .columns = extents.columns,
                          .inner = extents.inner,
                          .a = a.view(i, j, args.transpose_a),
                          .b = b.view(i, j, args.transpose_b),
                          .accumulate = args.accumulate,
                          .out = out.at(i, j),
                          .out_dtype = args.out.dtype(),
                          .out_stride = checks::matrix_row_stride(args.out)});
    } catch (...) {
#pragma omp critical(failed_product)
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void CpuBackend::batched_matmul(const BatchedMatmulArgs& args) {
  const Extents extents = checks::require_batched_product("batched_matmul", args);
  if (args.out.numel() == 0) return;
  if (product_dtype(args.a.dtype()) == args.a.dtype()) return multiply_batch(extents, args);
  BatchedMatmulArgs wide = args;
  wide.a = widened(args.a);
  wide.b = widened(args.b);
  wide.out = widened(args.out);
  multiply_batch(extents, wide);
  Tensor out = args.out;
  if (out.dtype() == DType::bf16) copy(wide.out, out);
}

}  // namespace ssa
