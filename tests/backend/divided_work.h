#pragma once

#include <functional>

#include "backend/attention_cases.h"
#include "backend/graph_cases.h"

// Primitives that must give the same bits for any division of work among threads, and any order of
// threads.

namespace ssa::testing {

/// Calls of kernels whose work is divided among threads.
struct Operation {
  const char* name;
  std::function<std::vector<Tensor>()> run;
};

inline std::vector<Tensor> run_sums() {
  const Tensor in = random_tensor({3001, 70}, 1);
  Tensor columns = Tensor::empty({70}, DType::f32, device_under_test());
  tested().column_sum(in, columns, false);
  const Tensor totals =
      Tensor::from<double>({tested().sum(in), tested().sum_squares({in})}, {2}, Device::cpu);
  return {columns, totals};
}

inline std::vector<Tensor> run_layer_norm() {
  const Tensor in = random_tensor({3001, 70}, 1), grad_out = random_tensor({3001, 70}, 2);
  const Tensor gain = random_tensor({70}, 3), shift = random_tensor({70}, 4);
  Tensor out = Tensor::empty_like(in), grad_in = Tensor::empty_like(in);
  Tensor mean = Tensor::empty({3001}, DType::f32, device_under_test()),
         rstd = Tensor::empty_like(mean);
  Tensor grad_gain = random_tensor({70}, 5), grad_shift = random_tensor({70}, 6);
  tested().layer_norm(in, gain, shift, 1e-5, out, mean, rstd);
  tested().layer_norm_backward({.in = in,
                                .gain = gain,
                                .mean = mean,
                                .rstd = rstd,
                                .grad_out = grad_out,
                                .grad_in = grad_in,
                                .grad_gain = grad_gain,
                                .grad_shift = grad_shift});
  return {out, mean, rstd, grad_in, grad_gain, grad_shift};
}

inline std::vector<Tensor> run_embedding() {
  const Tensor ids = random_ids(3000, 0, 9, 1), grad = random_tensor({3000, 200}, 2);
  Tensor table = random_tensor({9, 200}, 3);
  tested().embedding_backward(ids, 0.3, grad, table);
  return {table};
}

inline std::vector<Tensor> run_cross_entropy() {
  const Tensor logits = random_tensor({301, 500}, 1, 5), targets = random_ids(301, -1, 500, 2);
  Tensor loss = Tensor::empty({301}, DType::f32, device_under_test()),
         lse = Tensor::empty_like(loss);
  Tensor grad = Tensor::empty_like(logits);
  tested().cross_entropy(logits, targets, loss, lse);
  tested().cross_entropy_backward(logits, targets, lse, loss, grad);
  return {loss, lse, grad};
}

inline std::vector<Tensor> run_elementwise() {
  const Tensor in = random_tensor({50001}, 1, 4);
  Tensor out = Tensor::empty_like(in), dropped = Tensor::empty_like(in);
  tested().activation(Activation::gelu, in, out);
  tested().dropout({0.2, RngKey{.seed = 5}}, in, Tensor(), dropped);
  return {out, dropped};
}

inline std::vector<Tensor> run_attention() {
  const AttentionInputs inputs({.length = 600,
                                .heads = 3,
                                .head_size = 24,
                                .sources = Sources::shuffled,
                                .windows = 2,
                                .sources_per_window = 400,
                                .causal = true,
                                .alibi = true,
                                .dropout = 0.1});
  return run_on_device(inputs).tensors;
}

/// Windows that share shapes, of fewer heads than threads.
inline std::vector<Tensor> run_window_attention() {
  const AttentionInputs inputs({.batch = 1,
                                .length = 400,
                                .heads = 1,
                                .head_size = 24,
                                .sources = Sources::swin,
                                .grid_columns = 20,
                                .relative_rows = 5,
                                .relative_columns = 5,
                                .shift = 2});
  return run_on_device(inputs).tensors;
}

inline std::vector<Tensor> run_graph_attention() {
  GraphCase graphs{.sizes = {},
                   .heads = 20,
                   .head_size = 12,
                   .virtual_nodes = 2,
                   .drop = 0.3,
                   .clip = 1,
                   .dropout = 0.1};
  for (int32_t size = 1; size < 40; ++size) graphs.sizes.push_back(size);
  Run run(tested(), DType::f32, false);
  run_graphs(GraphInputs(graphs), run);
  std::vector<Tensor> outputs;
  for (const Guarded& output : run.outputs()) outputs.push_back(output.tensor);
  return outputs;
}

inline std::vector<Tensor> run_batched_products() {
  const Tensor a = random_tensor({2, 5, 90, 70}, 1), b = random_tensor({2, 5, 70, 33}, 2);
  const Tensor out = Tensor::empty({2, 5, 90, 33}, DType::f32, device_under_test());
  tested().batched_matmul({.a = a, .b = b, .out = out});
  return {out};
}

inline std::vector<Tensor> run_pictures() {
  const Tensor in = random_tensor({3, 3001, 70}, 1);
  Tensor means = Tensor::empty({3, 70}, DType::f32, device_under_test());
  Tensor dropped = Tensor::empty_like(in);
  tested().mean_positions(in, means);
  tested().dropout({0.2, RngKey{.seed = 5}, 1000}, in, Tensor(), dropped);
  return {means, dropped};
}

inline std::vector<Operation> divided_work() {
  return {{"sums", run_sums},
          {"batched products", run_batched_products},
          {"pictures", run_pictures},
          {"layer norm", run_layer_norm},
          {"embedding", run_embedding},
          {"cross-entropy", run_cross_entropy},
          {"elementwise", run_elementwise},
          {"attention", run_attention},
          {"attention in windows", run_window_attention},
          {"graph attention", run_graph_attention}};
}

}  // namespace ssa::testing
