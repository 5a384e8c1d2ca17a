#include <omp.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/divided_work.h"

namespace ssa {
namespace {

using namespace testing;

// oneDNN may divide a product by the number of threads, so its products are left out.
std::vector<Tensor> run_bf16() {
  const Tensor in = converted(random_tensor({3001, 70}, 1, 4), DType::bf16);
  Tensor out = Tensor::empty_like(in), sums = Tensor::empty({70}, DType::f32, Device::cpu);
  cpu_backend().activation(Activation::gelu, in, out);
  cpu_backend().column_sum(in, sums, false);
  MatmulArgs args{.a = converted(random_tensor({512, 192}, 2), DType::bf16),
                  .b = converted(random_tensor({512, 1088}, 3), DType::bf16),
                  .transpose_a = true,
                  .out = Tensor::empty({192, 1088}, DType::f32, Device::cpu)};
  // If there is a kernel of our own for weight gradients.
  if (!cpu::kernels().transposed_product) return {out, sums};
  cpu_backend().matmul(args);
  return {out, sums, args.out};
}

TEST_CASE("cpu kernels give the same bits for any number of threads") {
  std::vector<Operation> operations = divided_work();
  operations.push_back({"bf16", run_bf16});
  const int before = omp_get_max_threads();
  for (const Operation& operation : operations) {
    INFO(operation.name);
    omp_set_num_threads(1);
    const std::vector<Tensor> alone = operation.run();
    for (const int threads : {2, 3}) {
      INFO(threads << " threads");
      omp_set_num_threads(threads);
      const std::vector<Tensor> together = operation.run();
      REQUIRE(together.size() == alone.size());
      for (size_t i = 0; i < alone.size(); ++i) {
        INFO("tensor " << i);
        CHECK(same_bits(alone[i], together[i]));
      }
    }
  }
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace ssa
