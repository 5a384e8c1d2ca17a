// Products of low precision, and products with packed weights of all dtypes.

#include "backend/packed_cases.h"

namespace ssa {
namespace {

using namespace testing;

/// What is added to a product, and how it is written.
struct Ending {
  bool bias, residual, accumulate, wide_out;
};
const std::vector<Ending> kEndings = {
    {false, false, false, false}, {true, false, false, false}, {true, true, false, false},
    {false, false, true, true},   {true, true, true, false},   {true, true, true, true},
    {false, true, false, true},
};

/// Runs one product with an ending of the last axis; rows of residual are strided.
void run_product(Run& run, MatmulArgs args, const Ending& ending, int64_t rows, int64_t columns) {
  const Tensor residual = random_data({rows, columns + 3}, 31);
  const Tensor before = random_data({rows, columns}, 32);
  const auto stored = [&](const Tensor& values) {
    return ending.wide_out ? converted(values, DType::f32) : values;
  };
  // The GPU adds the bias in the dtype of out, so the bias holds numbers of that dtype.
  const bool narrow = device_under_test() == Device::cuda;
  const Tensor bias =
      narrow ? converted(random_data({columns}, 33), DType::f32) : random_tensor({columns}, 33);
  if (ending.bias) args.bias = run.in(bias);
  if (ending.residual) args.residual = run.in(stored(residual)).slice(1, 2, columns);
  args.accumulate = ending.accumulate;
  args.out = run.inout(stored(before));
  run.backend.matmul(args);
}

TEST_CASE("matmul of low precision equals the reference") {
  const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 65}, {64, 48, 1}, {129, 64, 200}};
  for (const auto& [rows, columns, inner] : sizes) {
    for (const Ending& ending : kEndings) {
      for (const int transposed : {0, 1, 2, 3}) {
        const bool ta = (transposed & 1) != 0, tb = (transposed & 2) != 0;
        INFO(rows << "×" << columns << "×" << inner << " transposed " << ta << " " << tb << " bias "
                  << ending.bias << " residual " << ending.residual << " accumulate "
                  << ending.accumulate << " f32 out " << ending.wide_out);
        // Both are slices of wider matrices.
        const Tensor a = random_data(ta ? Shape{inner, rows + 4} : Shape{rows, inner + 4}, 1);
        const Tensor b = random_data(tb ? Shape{columns, inner + 6} : Shape{inner, columns + 6}, 2);
        check_low_precision(std::sqrt(static_cast<double>(inner)), [&](Run& run) {
          const MatmulArgs args{.a = run.in(a).slice(1, 3, ta ? rows : inner),
                                .b = run.in(b).slice(1, 5, tb ? inner : columns),
                                .transpose_a = ta,
                                .transpose_b = tb};
          run_product(run, args, ending, rows, columns);
        });
      }
    }
  }
}

TEST_CASE("gradients of weights equal the reference") {
  const int64_t sizes[][3] = {{32, 32, 256}, {96, 64, 544}, {64, 544, 288}, {32, 64, 320}};
  for (const auto& [rows, columns, inner] : sizes) {
    for (const bool accumulate : {false, true}) {
      INFO(rows << "×" << columns << "×" << inner << " accumulate " << accumulate);
      const Tensor a = random_data({inner, rows + 4}, 1), b = random_data({inner, columns + 6}, 2);
      check_low_precision(std::sqrt(static_cast<double>(inner)), [&](Run& run) {
        const MatmulArgs args{.a = run.in(a).slice(1, 3, rows),
                              .b = run.in(b).slice(1, 5, columns),
                              .transpose_a = true};
        run_product(run, args, {false, false, accumulate, true}, rows, columns);
      });
    }
  }
}

std::vector<Tensor> for_run(const Run& run, std::vector<Tensor> parts) {
  for (Tensor& part : parts) part = run.in(part);
  return parts;
}

const std::vector<std::vector<int64_t>> kStacks = {{1},       {5},        {96},   {64, 64, 64},
                                                   {128, 32}, {5, 7, 50}, {33, 1}};

int64_t total(const std::vector<int64_t>& rows) {
  int64_t sum = 0;
  for (const int64_t n : rows) sum += n;
  return sum;
}

TEST_CASE("products of low precision with packed weights equal the reference") {
  for (const std::vector<int64_t>& stack : kStacks) {
    for (const int64_t width : {1, 40, 64}) {
      for (const bool transpose : {false, true}) {
        const int64_t inner = transpose ? width : total(stack);
        const int64_t columns = transpose ? total(stack) : width;
        for (const int64_t rows : {1, 3, 130}) {
          INFO(rows << "×" << columns << "×" << inner << ", " << stack.size() << " parts");
          const Tensor a = random_data({rows, inner}, 1);
          check_low_precision(std::sqrt(static_cast<double>(inner)), [&](Run& run) {
            MatmulArgs args{.a = run.in(a)};
            args.packed_b = run.backend.pack(for_run(run, weights(stack, width, 7)), transpose,
                                             run.data_dtype(), nullptr);
            CHECK((args.packed_b->rows() == inner && args.packed_b->columns() == columns));
            run_product(run, args, kEndings[static_cast<size_t>(rows) % kEndings.size()], rows,
                        columns);
          });
        }
      }
    }
  }
}

TEST_CASE("products of f32 with packed weights equal the reference") {
  for (const std::vector<int64_t>& stack : kStacks) {
    for (const bool transpose : {false, true}) {
      const int64_t width = 40, inner = transpose ? width : total(stack);
      const int64_t columns = transpose ? total(stack) : width;
      const std::vector<Tensor> parts = weights(stack, width, 7);
      std::vector<Tensor> exact_parts;
      for (const Tensor& part : parts) exact_parts.push_back(for_reference(part));
      const auto packed = tested().pack(parts, transpose, DType::f32, nullptr);
      const auto exact_packed =
          reference_backend().pack(exact_parts, transpose, DType::f64, nullptr);
      for (const int64_t rows : {1, 3, 17, 130}) {
        INFO(rows << "×" << columns << "×" << inner);
        const Tensor a = random_tensor({rows, inner + 2}, 1), bias = random_tensor({columns}, 2);
        const Tensor residual = random_tensor({rows, columns + 1}, 3);
        Guarded out({rows, columns});
        MatmulArgs args{.a = a.slice(1, 1, inner),
                        .packed_b = packed,
                        .bias = bias,
                        .residual = residual.slice(1, 0, columns),
                        .out = out.tensor};
        MatmulArgs exact{.a = for_reference(args.a),
                         .packed_b = exact_packed,
                         .bias = for_reference(bias),
                         .residual = for_reference(args.residual),
                         .out = reference_zeros({rows, columns})};
        tested().matmul(args);
        reference_backend().matmul(exact);
        CHECK(worst_error(out.tensor, exact.out, std::sqrt(static_cast<double>(inner))) < 1e-6);
        CHECK(out.intact());
      }
    }
  }
}

TEST_CASE("pack writes into an earlier result for the same shapes") {
  for (const DType dtype : data_dtypes()) {
    for_each_variant([&] {
      for (const std::vector<int64_t>& stack : kStacks) {
        for (const bool transpose : {false, true}) {
          const std::vector<Tensor> first = weights(stack, 40, 1), second = weights(stack, 40, 20);
          const auto packed = tested().pack(first, transpose, dtype, nullptr);
          const Tensor before = product_with(packed);
          const auto again = tested().pack(second, transpose, dtype, packed);
          CHECK(again == packed);
          const auto fresh = tested().pack(second, transpose, dtype, nullptr);
          CHECK(same_bits(product_with(again), product_with(fresh)));
          CHECK_FALSE(same_bits(product_with(again), before));
        }
      }
    });
  }
}

TEST_CASE("pack makes a new matrix where the earlier one does not fit") {
  const auto packed = tested().pack(weights({6}, 4, 1), false, DType::bf16, nullptr);
  CHECK(tested().pack(weights({6}, 4, 1), true, DType::bf16, packed) != packed);
  CHECK(tested().pack(weights({7}, 4, 1), false, DType::bf16, packed) != packed);
  CHECK(tested().pack(weights({6}, 4, 1), false, DType::f32, packed) != packed);
}

TEST_CASE("products and packing say what does not fit") {
  const auto packed = tested().pack(weights({6}, 4, 1), false, DType::bf16, nullptr);
  Guarded out({3, 4});
  MatmulArgs args{.a = random_tensor({3, 6}, 1), .packed_b = packed, .out = out.tensor};
  CHECK_THROWS_WITH(tested().matmul(args), Catch::Contains("packed for bf16, but a is f32"));
  args.a = random_data({3, 5}, 1);
  CHECK_THROWS_WITH(tested().matmul(args), Catch::Contains("packed_b has 6 rows instead of 5"));
  args.packed_b =
      reference_backend().pack({host(weights({5}, 4, 1)[0])}, false, DType::bf16, nullptr);
  CHECK_THROWS_WITH(tested().matmul(args), Catch::Contains("another backend"));
  args.packed_b = nullptr;
  args.b = random_tensor({5, 4}, 1);
  CHECK_THROWS_WITH(tested().matmul(args), Catch::Contains("b is f32, but"));
  CHECK_THROWS_WITH(tested().pack({}, false, DType::f32, nullptr), "pack: no parts");
  CHECK_THROWS_WITH(tested().pack({random_data({3, 3}, 1)}, false, DType::bf16, nullptr),
                    Catch::Contains("a part is bf16"));
  std::vector<Tensor> uneven = weights({3}, 4, 1);
  uneven.push_back(random_tensor({3, 5}, 2));
  CHECK_THROWS_WITH(tested().pack(uneven, false, DType::f32, nullptr),
                    Catch::Contains("has shape (3, 5) instead of (3, 4)"));
}

}  // namespace
}  // namespace ssa
