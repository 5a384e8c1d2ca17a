#include "backend/cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Extent {
  int64_t rows, columns;
};

const std::vector<Extent> kExtents = {{1, 1},   {1, 16},   {2, 3},    {5, 17},    {64, 64},
                                      {65, 33}, {300, 24}, {7, 1000}, {4500, 10}, {3, 20000}};

TEST_CASE("column_sum equals the reference") {
  for_each_variant([] {
    for (const auto& [rows, columns] : kExtents) {
      for (const bool accumulate : {false, true}) {
        INFO(rows << "×" << columns << " accumulate " << accumulate);
        const Tensor in = random_tensor({rows, columns}, 1), start = random_tensor({columns}, 2);
        Guarded out(start);
        Tensor exact = for_reference(start);
        tested().column_sum(in, out.tensor, accumulate);
        reference_backend().column_sum(for_reference(in), exact, accumulate);
        CHECK(worst_error(out.tensor, exact, std::sqrt(static_cast<double>(rows))) < 5e-7);
        CHECK(out.intact());
      }
    }
  });
}

TEST_CASE("layer norm equals the reference") {
  for_each_variant([] {
    for (const auto& [rows, columns] : kExtents) {
      INFO(rows << "×" << columns);
      Tensor in = random_on_host({rows, columns}, 1, 3.0);
      for (int64_t i = 0; i < in.numel(); ++i) in.data<float>()[i] += 5.0f;
      in = on_device(in);
      const Tensor gain = random_tensor({columns}, 2), shift = random_tensor({columns}, 3);
      Guarded out({rows, columns}), mean({rows}), rstd({rows});
      Tensor exact = reference_zeros({rows, columns}), exact_mean = reference_zeros({rows}),
             exact_rstd = reference_zeros({rows});
      tested().layer_norm(in, gain, shift, 1e-5, out.tensor, mean.tensor, rstd.tensor);
      reference_backend().layer_norm(for_reference(in), for_reference(gain), for_reference(shift),
                                     1e-5, exact, exact_mean, exact_rstd);
      // Rows of one or two elements may have almost no variance, so that rstd magnifies rounding
      // errors.
      const double magnified = std::max(1.0, largest(exact_rstd));
      CHECK(worst_error(out.tensor, exact, 1.0) < 2e-6 * magnified);
      CHECK(worst_error(mean.tensor, exact_mean, 1.0) < 1e-6);
      CHECK(worst_error(rstd.tensor, exact_rstd, 0.0) < 2e-6 * magnified);
      CHECK((out.intact() && mean.intact() && rstd.intact()));
    }
  });
}

TEST_CASE("layer norm backward equals the reference and adds to parameter gradients") {
  for_each_variant([] {
    for (const auto& [rows, columns] : kExtents) {
      INFO(rows << "×" << columns);
      const Tensor in = random_tensor({rows, columns}, 1, 3.0);
      const Tensor gain = random_tensor({columns}, 2), mean = random_tensor({rows}, 3, 0.1);
      const Tensor rstd = random_tensor({rows}, 4), grad_out = random_tensor({rows, columns}, 5);
      const Tensor gain0 = random_tensor({columns}, 6), shift0 = random_tensor({columns}, 7);
      Guarded grad_in({rows, columns}), grad_gain(gain0), grad_shift(shift0);
      Tensor exact_in = reference_zeros({rows, columns}), exact_gain = for_reference(gain0),
             exact_shift = for_reference(shift0);
      tested().layer_norm_backward({.in = in,
                                    .gain = gain,
                                    .mean = mean,
                                    .rstd = rstd,
                                    .grad_out = grad_out,
                                    .grad_in = grad_in.tensor,
                                    .grad_gain = grad_gain.tensor,
                                    .grad_shift = grad_shift.tensor});
      reference_backend().layer_norm_backward({.in = for_reference(in),
                                               .gain = for_reference(gain),
                                               .mean = for_reference(mean),
                                               .rstd = for_reference(rstd),
                                               .grad_out = for_reference(grad_out),
                                               .grad_in = exact_in,
                                               .grad_gain = exact_gain,
                                               .grad_shift = exact_shift});
      const double size = std::sqrt(static_cast<double>(rows));
      CHECK(worst_error(grad_in.tensor, exact_in, 1.0) < 2e-6);
      CHECK(worst_error(grad_gain.tensor, exact_gain, size) < 1e-6);
      CHECK(worst_error(grad_shift.tensor, exact_shift, size) < 1e-6);
      CHECK((grad_in.intact() && grad_gain.intact() && grad_shift.intact()));
    }
  });
}

TEST_CASE("embedding and its gradient equal the reference") {
  for_each_variant([] {
    for (const auto& [rows, columns] : kExtents) {
      INFO(rows << "×" << columns);
      const int64_t words = 11;
      const Tensor table = random_tensor({words, columns}, 1);
      const Tensor ids = random_ids(rows, 0, words, 2), grad = random_tensor({rows, columns}, 3);
      Guarded out({rows, columns}), grad_table(random_tensor({words, columns}, 4));
      Tensor exact = reference_zeros({rows, columns});
      Tensor exact_table = for_reference(grad_table.tensor);
      tested().embedding(table, ids, 1.7, out.tensor);
      tested().embedding_backward(ids, 1.7, grad, grad_table.tensor);
      reference_backend().embedding(for_reference(table), host(ids), 1.7, exact);
      reference_backend().embedding_backward(host(ids), 1.7, for_reference(grad), exact_table);
      CHECK(worst_error(out.tensor, exact, 0.0) < 2e-7);
      CHECK(worst_error(grad_table.tensor, exact_table, std::sqrt(static_cast<double>(rows))) <
            1e-6);
      CHECK((out.intact() && grad_table.intact()));
    }
  });
}

TEST_CASE("embedding refuses ids outside the table") {
  const Tensor table = random_tensor({4, 3}, 1);
  Guarded out({2, 3});
  for (const int32_t bad : {-1, 4}) {
    const Tensor ids = Tensor::from<int32_t>({1, bad}, {2}, device_under_test());
    const auto look_up = [&] {
      tested().embedding(table, ids, 1.0, out.tensor);
      host(out.tensor);  // the error shows when the host waits for the device
    };
    CHECK_THROWS_WITH(look_up(), Catch::Contains("at 1, outside 0 … 3"));
  }
}

TEST_CASE("cross-entropy and its gradient equal the reference") {
  for_each_variant([] {
    for (const auto& [rows, columns] : kExtents) {
      INFO(rows << "×" << columns);
      const Tensor logits = random_tensor({rows, columns}, 1, 20.0);
      const Tensor targets = random_ids(rows, -1, columns, 2), grad = random_tensor({rows}, 3);
      Guarded loss({rows}), lse({rows}), grad_logits({rows, columns});
      Tensor exact_loss = reference_zeros({rows}), exact_lse = reference_zeros({rows});
      Tensor exact_grad = reference_zeros({rows, columns});
      tested().cross_entropy(logits, targets, loss.tensor, lse.tensor);
      tested().cross_entropy_backward(logits, targets, lse.tensor, grad, grad_logits.tensor);
      reference_backend().cross_entropy(for_reference(logits), host(targets), exact_loss,
                                        exact_lse);
      reference_backend().cross_entropy_backward(for_reference(logits), host(targets), exact_lse,
                                                 for_reference(grad), exact_grad);
      CHECK(worst_error(loss.tensor, exact_loss, 20.0) < 2e-7);
      CHECK(worst_error(lse.tensor, exact_lse, 20.0) < 2e-7);
      CHECK(worst_error(grad_logits.tensor, exact_grad, 1.0) < 3e-6);
      CHECK((loss.intact() && lse.intact() && grad_logits.intact()));
      Guarded in_place(logits);
      tested().cross_entropy_backward(in_place.tensor, targets, lse.tensor, grad, in_place.tensor);
      CHECK(same_bits(in_place.tensor, grad_logits.tensor));
    }
  });
}

TEST_CASE("cross-entropy survives logits that are huge, and passes NaN on") {
  const Tensor logits =
      Tensor::from<float>({1e30f, -1e30f, 0.0f, -INFINITY, 2.0f, 2.0f, 1.0f, std::nanf(""), 0.0f},
                          {3, 3}, device_under_test());
  const Tensor targets = Tensor::from<int32_t>({0, 1, 0}, {3}, device_under_test());
  for_each_variant([&] {
    Guarded loss({3}), lse({3});
    tested().cross_entropy(logits, targets, loss.tensor, lse.tensor);
    CHECK(at(loss.tensor, 0) == 0.0);
    CHECK(at(loss.tensor, 1) == Approx(std::log(2.0)));
    CHECK(std::isnan(at(loss.tensor, 2)));
  });
}

}  // namespace
}  // namespace ssa
