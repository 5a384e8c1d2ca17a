// Products with weights in int8.

#include <algorithm>
#include <cmath>
#include <vector>

#include <omp.h>

#include "backend/packed_cases.h"

namespace ssa {
namespace {

using namespace testing;

/// The weights (n, k) that int8 and a scale stand for, in f64.
std::vector<double> rounded(const std::vector<Tensor>& parts) {
  std::vector<double> values;
  for (const Tensor& part : parts) {
    const auto* weight = part.data<float>();
    for (int64_t n = 0; n < part.dim(0); ++n, weight += part.dim(1)) {
      double largest = 0;
      for (int64_t k = 0; k < part.dim(1); ++k) {
        largest = std::max(largest, std::abs(static_cast<double>(weight[k])));
      }
      for (int64_t k = 0; k < part.dim(1); ++k) {
        const double scale = largest / 127.0;
        values.push_back(largest == 0 ? 0 : std::round(weight[k] / scale) * scale);
      }
    }
  }
  return values;
}

struct Product {
  Tensor a, bias, residual;

  Tensor with(const std::shared_ptr<PackedMatrix>& packed) const {
    MatmulArgs args{.a = a, .packed_b = packed, .bias = bias, .residual = residual};
    args.out = Tensor::empty({a.dim(0), packed->columns()}, a.dtype(), Device::cpu);
    tested().matmul(args);
    return args.out;
  }
};

Product product(int64_t rows, int64_t inner, int64_t columns, DType dtype) {
  return {converted(random_tensor({rows, inner}, 5), dtype), random_tensor({columns}, 6),
          converted(random_tensor({rows, columns}, 7), dtype)};
}

TEST_CASE("products with int8 weights are those with the rounded weights") {
  const int64_t inner = GENERATE(1, 63, 64, 130);
  const int64_t rows = GENERATE(1, 3, 4, 9);
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  std::vector<Tensor> parts = weights({70, 5}, inner, 1);
  std::fill_n(parts[1].data<float>() + 2 * inner, inner, 0.0f);  // an output without weights
  const std::vector<double> weight = rounded(parts);
  const Product inputs = product(rows, inner, 75, dtype);
  for_each_variant([&] {
    const Tensor out = inputs.with(tested().pack_int8(parts, dtype));
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t n = 0; n < 75; ++n) {
        double exact = at(inputs.bias, n) + at(inputs.residual, m * 75 + n), size = 1;
        for (int64_t k = 0; k < inner; ++k) {
          const double term = at(inputs.a, m * inner + k) * weight[n * inner + k];
          exact += term;
          size += std::abs(term);
        }
        const double allowed = size * 2e-6 + (dtype == DType::bf16 ? std::abs(exact) / 256 : 0);
        INFO(rows << " × " << inner << ", row " << m << ", column " << n);
        REQUIRE(std::abs(at(out, m * 75 + n) - exact) <= allowed);
      }
    }
  });
}

TEST_CASE("a row of a product with int8 weights does not depend on other rows or threads") {
  const std::vector<Tensor> parts = weights({300}, 100, 1);
  const Product nine = product(9, 100, 300, DType::f32);
  const int before = omp_get_max_threads();
  for_each_variant([&] {
    const auto packed = tested().pack_int8(parts, DType::f32);
    omp_set_num_threads(1);
    const Tensor all = nine.with(packed);
    omp_set_num_threads(3);
    CHECK(same_bits(nine.with(packed), all));
    for (int64_t m = 0; m < 9; ++m) {
      const Product one{nine.a.slice(0, m, 1), nine.bias, nine.residual.slice(0, m, 1)};
      CHECK(same_bits(one.with(packed), all.slice(0, m, 1)));
    }
  });
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace ssa
