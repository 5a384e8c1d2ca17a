#include <array>

#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Case {
  int64_t outer, inner_batch, rows, columns, inner;
  bool transpose_a, transpose_b, accumulate;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::array<int64_t, 5> extents[] = {
      {1, 1, 1, 1, 1}, {2, 3, 3, 5, 7}, {3, 2, 17, 33, 19}, {1, 4, 64, 16, 32}, {5, 1, 9, 1, 6}};
  for (const auto& [outer, inner_batch, rows, columns, inner] : extents) {
    for (int flags = 0; flags < 8; ++flags) {
      all.push_back({outer, inner_batch, rows, columns, inner, (flags & 1) != 0, (flags & 2) != 0,
                     (flags & 4) != 0});
    }
  }
  return all;
}

/// The memory layout of an operand's matrices.
enum class Layout {
  contiguous,
  heads,   ///< (outer, rows, inner batch, columns): heads of a sequence, read in place
  shared,  ///< one matrix for the whole inner batch
};

/// A view of (I, J, rows, columns), and the tensor that it is part of.
Shape stored_shape(const Shape& shape, Layout layout) {
  if (layout == Layout::heads) return {shape[0], shape[2], shape[1] + 1, shape[3]};
  if (layout == Layout::shared) return {shape[0], 1, shape[2], shape[3]};
  return shape;
}
Tensor matrices_in(const Tensor& stored, Layout layout) {
  if (layout != Layout::heads) return stored;
  return stored.slice(2, 1, stored.dim(2) - 1).transpose(1, 2);
}

/// Arguments for one run, with operands in these layouts.
BatchedMatmulArgs arguments(Run& run, const Case& c, Layout layout, Layout out_layout) {
  const auto operand = [&](int64_t rows, int64_t columns, uint32_t seed) {
    const Shape shape{c.outer, c.inner_batch, rows, columns};
    return matrices_in(run.in(random_data(stored_shape(shape, layout), seed)), layout);
  };
  BatchedMatmulArgs args;
  args.a = c.transpose_a ? operand(c.inner, c.rows, 1) : operand(c.rows, c.inner, 1);
  args.b = c.transpose_b ? operand(c.columns, c.inner, 2) : operand(c.inner, c.columns, 2);
  args.transpose_a = c.transpose_a;
  args.transpose_b = c.transpose_b;
  args.accumulate = c.accumulate;
  const Shape shape{c.outer, c.inner_batch, c.rows, c.columns};
  args.out = matrices_in(run.inout(random_data(stored_shape(shape, out_layout), 3)), out_layout);
  return args;
}

TEST_CASE("batched_matmul equals the reference, wherever heads lie") {
  for (const DType dtype : data_dtypes()) {
    for (const Case& c : cases()) {
      for (const Layout layout : {Layout::contiguous, Layout::heads, Layout::shared}) {
        const Layout out_layout = layout == Layout::heads ? Layout::heads : Layout::contiguous;
        CAPTURE(c.outer, c.inner_batch, c.rows, c.columns, c.inner, c.transpose_a, c.transpose_b,
                c.accumulate, static_cast<int>(layout));
        check_low_precision(std::sqrt(static_cast<double>(c.inner)), dtype, [&](Run& run) {
          run.backend.batched_matmul(arguments(run, c, layout, out_layout));
        });
      }
    }
  }
}

TEST_CASE("batched_matmul of low precision gives f32 where that is asked for") {
  check_low_precision(3, [&](Run& run) {
    BatchedMatmulArgs args{.a = run.in(random_data({2, 3, 5, 9}, 1)),
                           .b = run.in(random_data({2, 3, 9, 4}, 2))};
    args.out = run.wide({2, 3, 5, 4});
    run.backend.batched_matmul(args);
  });
}

TEST_CASE("batched_matmul of nothing writes nothing, and says what does not fit") {
  Guarded out({0, 2, 3, 4});
  BatchedMatmulArgs args{.a = random_tensor({0, 2, 3, 5}, 1), .b = random_tensor({0, 2, 5, 4}, 2)};
  args.out = out.tensor;
  tested().batched_matmul(args);
  CHECK(out.intact());
  args.b = random_tensor({0, 2, 6, 4}, 2);
  CHECK_THROWS_WITH(tested().batched_matmul(args),
                    Catch::Contains("batched_matmul: b has shape (0, 2, 6, 4)"));
  args.a = random_tensor({1, 2, 3, 5}, 1);
  args.b = random_tensor({1, 2, 4, 5}, 2).transpose(2, 3);
  args.out = random_tensor({1, 2, 3, 4}, 3);
  CHECK_THROWS_WITH(tested().batched_matmul(args), Catch::Contains("rows of b are not contiguous"));
}

}  // namespace
}  // namespace ssa
