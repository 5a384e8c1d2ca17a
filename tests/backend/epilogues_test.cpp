// Tests that products use epilogues if shapes and addresses allow it. Without epilogues results
// would be the same (matmul_test.cpp, low_precision_test.cpp), so no other test would notice.

#include "backend/cases.h"
#include "backend/cuda/matmul.h"

namespace ssa {
namespace {

using namespace testing;
using cuda::Epilogue;

bool is_made(Epilogue epilogue, DType dtype, DType out_dtype, bool with_bias, bool transpose_a) {
  constexpr int64_t kRows = 128, kColumns = 64, kInner = 256;
  const auto data = [&](const Shape& shape, uint32_t seed) {
    return converted(random_tensor(shape, seed), dtype);
  };
  Tensor a = data(transpose_a ? Shape{kInner, kRows} : Shape{kRows, kInner}, 1);
  Tensor b = data({kInner, kColumns}, 2), bias = converted(random_tensor({kColumns}, 3), out_dtype);
  Tensor out = Tensor::empty({kRows, kColumns}, out_dtype, Device::cuda);
  Tensor beside = epilogue == Epilogue::sums ? random_tensor({kRows}, 4)
                                             : converted(random_tensor(out.shape(), 4), out_dtype);
  return cuda::multiply({.rows = kRows,
                         .columns = kColumns,
                         .inner = kInner,
                         .a = {a.raw(), a.dim(1), transpose_a},
                         .b = {b.raw(), kColumns, false},
                         .dtype = dtype,
                         .bias = with_bias ? bias.raw() : nullptr,
                         .out = out.raw(),
                         .out_dtype = out_dtype,
                         .epilogue = epilogue,
                         .beside = beside.raw()});
}

TEST_CASE("products of aligned operands are made with their epilogues") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    CAPTURE(name(dtype));
    CHECK(is_made(Epilogue::sums, dtype, DType::f32, false, true));
    CHECK(is_made(Epilogue::gelu, dtype, dtype, true, false));
    CHECK(is_made(Epilogue::gelu, dtype, dtype, false, false));
    CHECK(is_made(Epilogue::gelu_gradient, dtype, dtype, false, false));
  }
}

}  // namespace
}  // namespace ssa
