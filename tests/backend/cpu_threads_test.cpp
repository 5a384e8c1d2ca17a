#include <functional>

#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace test;

/// Own kernels only: how oneDNN divides a product among threads is its own affair.
struct Operation {
  const char* name;
  std::function<std::vector<Tensor>()> run;
};

std::vector<Tensor> run_sums() {
  const Tensor in = random_tensor({3001, 70}, 1);
  Tensor columns = Tensor::empty({70}, DType::f32, Device::cpu);
  cpu_backend().column_sum(in, columns, false);
  const Tensor totals = Tensor::from<double>({cpu_backend().sum(in), cpu_backend().sum_squares(in)},
                                             {2}, Device::cpu);
  return {columns, totals};
}

std::vector<Tensor> run_layer_norm() {
  const Tensor in = random_tensor({3001, 70}, 1), grad_out = random_tensor({3001, 70}, 2);
  const Tensor gain = random_tensor({70}, 3), shift = random_tensor({70}, 4);
  Tensor out = Tensor::empty_like(in), grad_in = Tensor::empty_like(in);
  Tensor mean = Tensor::empty({3001}, DType::f32, Device::cpu), rstd = Tensor::empty_like(mean);
  Tensor grad_gain = random_tensor({70}, 5), grad_shift = random_tensor({70}, 6);
  cpu_backend().layer_norm(in, gain, shift, 1e-5, out, mean, rstd);
  cpu_backend().layer_norm_backward({.in = in,
                                     .gain = gain,
                                     .mean = mean,
                                     .rstd = rstd,
                                     .grad_out = grad_out,
                                     .grad_in = grad_in,
                                     .grad_gain = grad_gain,
                                     .grad_shift = grad_shift});
  return {out, mean, rstd, grad_in, grad_gain, grad_shift};
}

std::vector<Tensor> run_embedding() {
  const Tensor ids = random_ids(3000, 0, 9, 1), grad = random_tensor({3000, 200}, 2);
  Tensor table = random_tensor({9, 200}, 3);
  cpu_backend().embedding_backward(ids, 0.3, grad, table);
  return {table};
}

std::vector<Tensor> run_cross_entropy() {
  const Tensor logits = random_tensor({301, 500}, 1, 5), targets = random_ids(301, -1, 500, 2);
  Tensor loss = Tensor::empty({301}, DType::f32, Device::cpu), lse = Tensor::empty_like(loss);
  Tensor grad = Tensor::empty_like(logits);
  cpu_backend().cross_entropy(logits, targets, loss, lse);
  cpu_backend().cross_entropy_backward(logits, targets, lse, loss, grad);
  return {loss, lse, grad};
}

std::vector<Tensor> run_elementwise() {
  const Tensor in = random_tensor({50001}, 1, 4);
  Tensor out = Tensor::empty_like(in), dropped = Tensor::empty_like(in);
  cpu_backend().activation(Activation::gelu, in, out);
  cpu_backend().dropout({0.2, RngKey{.seed = 5}}, in, Tensor(), dropped);
  return {out, dropped};
}

std::vector<Tensor> run_bf16() {
  const Tensor in = converted(random_tensor({3001, 70}, 1, 4), DType::bf16);
  Tensor out = Tensor::empty_like(in), sums = Tensor::empty({70}, DType::f32, Device::cpu);
  cpu_backend().activation(Activation::gelu, in, out);
  cpu_backend().column_sum(in, sums, false);
  MatmulArgs args{.a = converted(random_tensor({512, 192}, 2), DType::bf16),
                  .b = converted(random_tensor({512, 1088}, 3), DType::bf16),
                  .transpose_a = true,
                  .out = Tensor::empty({192, 1088}, DType::f32, Device::cpu)};
  // Where there is an own kernel for gradients of weights.
  if (!cpu::kernels().transposed_product) return {out, sums};
  cpu_backend().matmul(args);
  return {out, sums, args.out};
}

std::vector<Tensor> run_attention() {
  const AttentionInputs inputs({.length = 600,
                                .heads = 3,
                                .head_size = 24,
                                .sources = Sources::shuffled,
                                .windows = 2,
                                .sources_per_window = 400,
                                .causal = true,
                                .alibi = true,
                                .dropout = 0.1});
  return run_on_cpu(inputs).tensors;
}

TEST_CASE("cpu kernels give the same bits for any number of threads") {
  const std::vector<Operation> operations = {{"sums", run_sums},
                                             {"layer norm", run_layer_norm},
                                             {"embedding", run_embedding},
                                             {"cross-entropy", run_cross_entropy},
                                             {"elementwise", run_elementwise},
                                             {"bf16", run_bf16},
                                             {"attention", run_attention}};
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
