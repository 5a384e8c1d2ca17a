// Tests of kernels on rows beyond the table of conformance tests, for how they divide their work:
// sorting in several passes, runs of ids across tiles, full lists of tensors, arrays that do not
// begin on 16 bytes, ids outside their range.

#include "backend/cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Lookup {
  int64_t rows, words, columns;
  int64_t every;  ///< rows per id
};

TEST_CASE("cuda embedding gradients add up many rows of one id") {
  const std::vector<Lookup> lookups = {
      {1, 1, 1, 1},        {33, 1, 8, 1},         {3000, 7, 8, 3},      {5000, 300, 5, 2},
      {2000, 1025, 40, 5}, {3000, 267735, 4, 50}, {70000, 50000, 2, 4},
  };
  for (const auto& [rows, words, columns, every] : lookups) {
    INFO(rows << " rows, " << words << " words");
    std::vector<int32_t> ids(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t id = r % every == 0 ? words / 2 : r * 7919 % words;
      ids[static_cast<size_t>(r)] = static_cast<int32_t>(id);
    }
    const Tensor on_gpu = Tensor::from(ids, {rows}, Device::cuda);
    const Tensor grad = random_tensor({rows, columns}, 1),
                 start = random_tensor({words, columns}, 2);
    Guarded table(start), again(start);
    Tensor exact = for_reference(start);
    tested().embedding_backward(on_gpu, 1.5, grad, table.tensor);
    tested().embedding_backward(on_gpu, 1.5, grad, again.tensor);
    reference_backend().embedding_backward(for_reference(on_gpu), 1.5, for_reference(grad), exact);
    CHECK(worst_error(table.tensor, exact, std::sqrt(static_cast<double>(rows))) < 1e-6);
    CHECK(same_bits(table.tensor, again.tensor));
    CHECK((table.intact() && again.intact()));
  }
}

/// Tensors of 0, 1, … elements, more than fit into the arguments of one launch.
std::vector<Tensor> many_tensors(uint32_t seed) {
  std::vector<Tensor> tensors;
  for (int64_t i = 0; i < 250; ++i) {
    tensors.push_back(random_tensor({i * 61 % 300}, seed + static_cast<uint32_t>(i)));
  }
  tensors.push_back(random_tensor({40000}, seed));
  return tensors;
}

std::vector<Tensor> all_for_reference(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(for_reference(tensor));
  return result;
}

TEST_CASE("cuda sum_squares adds up any number of tensors") {
  const std::vector<Tensor> tensors = many_tensors(1);
  CHECK(tested().sum_squares(tensors) ==
        Approx(reference_backend().sum_squares(all_for_reference(tensors))).epsilon(1e-12));
  CHECK(tested().sum_squares({}) == 0.0);
  CHECK(tested().sum_squares({tensors[0]}) == 0.0);
}

TEST_CASE("cuda updates any number of tensors, each by its own arguments") {
  const std::vector<Tensor> parameters = many_tensors(1), gradients = many_tensors(2),
                            buffers = many_tensors(3);
  std::vector<SgdArgs> updates, exact;
  for (size_t i = 0; i < parameters.size(); ++i) {
    SgdArgs args{.parameter = parameters[i],
                 .gradient = gradients[i],
                 .momentum_buffer = buffers[i],
                 .learning_rate = 0.001 * static_cast<double>(i),
                 .momentum = i % 3 == 0 ? 0.0 : 0.9,
                 .nesterov = i % 2 == 0,
                 .weight_decay = 0.1,
                 .first_step = i % 5 == 0};
    updates.push_back(args);
    args.parameter = for_reference(args.parameter);
    args.gradient = for_reference(args.gradient);
    args.momentum_buffer = for_reference(args.momentum_buffer);
    exact.push_back(args);
  }
  tested().sgd_step(updates);
  reference_backend().sgd_step(exact);
  for (size_t i = 0; i < updates.size(); ++i) {
    INFO("tensor " << i);
    CHECK(worst_error(updates[i].parameter, exact[i].parameter, 0.1) < 1e-6);
    CHECK(worst_error(updates[i].momentum_buffer, exact[i].momentum_buffer, 0.1) < 1e-6);
  }
}

/// The same values at an address that is not a multiple of 16.
Tensor shifted(const Tensor& values) {
  Tensor whole = Tensor::zeros({values.numel() + 1}, values.dtype(), Device::cuda);
  Tensor part = whole.slice(0, 1, values.numel()).view(values.shape());
  part.copy_from(values);
  return part;
}

/// Results of primitives on rows, with arrays that `place` has moved.
template <class F>
std::vector<Tensor> results_on_rows(DType dtype, const F& place) {
  const int64_t rows = 5, columns = 1040;
  const auto data = [&](uint32_t seed) {
    return place(converted(random_tensor({rows, columns}, seed), dtype));
  };
  const auto floats = [&](int64_t count, uint32_t seed) {
    return place(random_tensor({count}, seed));
  };
  const Tensor in = data(1), grad_out = data(2), gain = floats(columns, 3),
               shift = floats(columns, 4);
  const Tensor targets = random_ids(rows, 0, columns, 5), sum_to = floats(columns, 6);
  Tensor normed = data(7), mean = floats(rows, 8), rstd = floats(rows, 9), grad_in = data(10),
         grad_gain = floats(columns, 11), grad_shift = floats(columns, 12), loss = floats(rows, 13),
         lse = floats(rows, 14), grad_logits = data(15), column_sum = floats(columns, 16),
         table = place(random_tensor({columns, columns}, 17)), embedded = data(18);
  Backend& gpu = tested();
  gpu.layer_norm(in, gain, shift, 1e-5, normed, mean, rstd);
  gpu.layer_norm_backward({.in = in,
                           .gain = gain,
                           .mean = mean,
                           .rstd = rstd,
                           .grad_out = grad_out,
                           .grad_in = grad_in,
                           .accumulate = true,
                           .grad_gain = grad_gain,
                           .grad_shift = grad_shift});
  gpu.cross_entropy(in, targets, loss, lse);
  gpu.cross_entropy_backward(in, targets, lse, floats(rows, 19), grad_logits);
  gpu.column_sum(in, column_sum, true);
  gpu.embedding(table, targets, 2.0, embedded);
  gpu.embedding_backward(targets, 2.0, grad_out, table);
  return {normed, mean, rstd,        grad_in,    grad_gain, grad_shift,
          loss,   lse,  grad_logits, column_sum, embedded,  table};
}

TEST_CASE("cuda kernels on rows do not care where arrays begin") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto as_it_is = results_on_rows(dtype, [](const Tensor& tensor) { return tensor; });
    const auto moved = results_on_rows(dtype, shifted);
    for (size_t i = 0; i < as_it_is.size(); ++i) {
      INFO("result " << i);
      CHECK(same_bits(as_it_is[i], moved[i]));
    }
  }
}

TEST_CASE("cuda lookups take ids outside their range for 0, and whoever waits is told") {
  const Tensor ids = Tensor::from<int32_t>({1, -7, 4, 0}, {4}, Device::cuda);
  const Tensor table = random_tensor({4, 3}, 1), grad = random_tensor({4, 3}, 2);
  Tensor out = random_tensor({4, 3}, 3), out3 = random_tensor({2, 4, 3}, 4);
  const Tensor in3 = random_tensor({2, 4, 3}, 5);
  Tensor loss = random_tensor({4}, 6), lse = random_tensor({4}, 7), number = random_tensor({1}, 8);

  tested().embedding(table, ids, 1.0, out);
  CHECK_THROWS_WITH(tested().sum(number), "embedding: ids has -7 at 1, outside 0 … 3");
  CHECK_NOTHROW(tested().sum(number));  // the error is reported once
  CHECK(at(out, 3) == at(table, 0));
  CHECK(at(out, 6) == at(table, 0));

  tested().embedding_backward(ids, 1.0, grad, out);
  CHECK_THROWS_WITH(tested().sum_squares({number}),
                    "embedding_backward: ids has -7 at 1, outside 0 … 3");
  tested().cross_entropy(table, ids, loss, lse);
  CHECK_THROWS_WITH(host(loss), "cross_entropy: targets has -7 at 1, outside -1 … 2");
  tested().cross_entropy_backward(table, ids, lse, loss, out);
  CHECK_THROWS_WITH(host(out), "cross_entropy_backward: targets has -7 at 1, outside -1 … 2");
  tested().gather_rows(in3, ids, out3);
  CHECK_THROWS_WITH(host(out3), "gather_rows: rows has -7 at 1, outside 0 … 3");
  tested().gather_rows_backward(ids, in3, out3);
  CHECK_THROWS_WITH(host(out3), "gather_rows_backward: rows has -7 at 1, outside 0 … 3");
}

}  // namespace
}  // namespace ssa
