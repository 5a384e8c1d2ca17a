// Cross-entropy against soft targets.

#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Case {
  int64_t rows, columns, labels;
  double smoothing;
};

const std::vector<Case> kCases = {{1, 1, 1, 0.1},   {2, 3, 2, 0},      {5, 17, 3, 0.1},
                                  {65, 33, 2, 0.3}, {7, 1000, 2, 0.1}, {3, 5000, 1, 1},
                                  {300, 10, 0, 1},  {2, 20001, 2, 0.1}};

/// The weights of a row add up to 1. With few classes some labels occur twice.
SoftTargets soft_targets(const Case& c) {
  Tensor weights = random_on_host({c.rows, c.labels}, 11);
  for (int64_t r = 0; r < c.rows; ++r) {
    double total = 0;
    float* row = weights.data<float>() + r * c.labels;
    for (int64_t k = 0; k < c.labels; ++k) total += row[k] = std::abs(row[k]) + 0.1f;
    for (int64_t k = 0; k < c.labels; ++k) row[k] = static_cast<float>(row[k] / total);
  }
  const Tensor labels = random_ids(c.rows * c.labels, 0, c.columns, 12);
  return {labels.view({c.rows, c.labels}), on_device(weights), c.smoothing};
}

/// The targets in the dtypes of a run.
SoftTargets in_run(const Run& run, const SoftTargets& targets) {
  return {run.in(targets.labels), run.in(targets.weights), targets.smoothing};
}

TEST_CASE("soft cross-entropy and its gradient equal the reference, in place too") {
  for (const DType dtype : data_dtypes()) {
    for (const Case& c : kCases) {
      CAPTURE(c.rows, c.columns, c.labels, c.smoothing);
      const SoftTargets targets = soft_targets(c);
      const Tensor logits = random_data({c.rows, c.columns}, 1, 20.0);
      const Tensor grad = random_tensor({c.rows}, 3);
      check_low_precision(20.0, dtype, [&](Run& run) {
        Tensor &loss = run.wide({c.rows}), &lse = run.wide({c.rows});
        run.backend.soft_cross_entropy(run.in(logits), in_run(run, targets), loss, lse);
      });
      Tensor loss = Tensor::empty({c.rows}, DType::f32, device_under_test());
      Tensor lse = Tensor::empty_like(loss);
      tested().soft_cross_entropy(converted(logits, dtype), targets, loss, lse);
      check_low_precision(1.0, dtype, [&](Run& run) {
        const SoftTargets wanted = in_run(run, targets);
        run.backend.soft_cross_entropy_backward(run.in(logits), wanted, run.in(lse), run.in(grad),
                                                run.data({c.rows, c.columns}));
        Tensor& in_place = run.inout(logits);
        run.backend.soft_cross_entropy_backward(in_place, wanted, run.in(lse), run.in(grad),
                                                in_place);
      });
    }
  }
}

TEST_CASE("soft cross-entropy of one whole label is cross-entropy") {
  const Tensor logits = random_tensor({9, 130}, 1, 5.0), ids = random_ids(9, 0, 130, 2);
  const Tensor grad = random_tensor({9}, 3);
  const SoftTargets targets{ids.view({9, 1}), filled_with({9, 1}, DType::f32, 1.0), 0};
  for_each_variant([&] {
    Guarded soft({9}), hard({9}), soft_lse({9}), hard_lse({9});
    Guarded soft_grad(logits.shape()), hard_grad(logits.shape());
    tested().soft_cross_entropy(logits, targets, soft.tensor, soft_lse.tensor);
    tested().cross_entropy(logits, ids, hard.tensor, hard_lse.tensor);
    CHECK(same_bits(soft_lse.tensor, hard_lse.tensor));
    CHECK(same_bits(soft.tensor, hard.tensor));
    tested().soft_cross_entropy_backward(logits, targets, soft_lse.tensor, grad, soft_grad.tensor);
    tested().cross_entropy_backward(logits, ids, hard_lse.tensor, grad, hard_grad.tensor);
    CHECK(worst_error(soft_grad.tensor, hard_grad.tensor, 1.0) < 1e-7);
  });
}

TEST_CASE("soft cross-entropy refuses labels that are no class, and smoothing above 1") {
  const Tensor logits = random_tensor({2, 4}, 1);
  Tensor loss = Tensor::empty({2}, DType::f32, device_under_test()), lse = Tensor::empty_like(loss);
  const Tensor halves = filled_with({2, 2}, DType::f32, 0.5);
  for (const int32_t bad : {-1, 4}) {
    const Tensor labels = Tensor::from<int32_t>({1, 0, 2, bad}, {2, 2}, device_under_test());
    const auto forward = [&] {
      tested().soft_cross_entropy(logits, {labels, halves, 0.1}, loss, lse);
      host(loss);  // the error shows when the host waits for the device
    };
    CHECK_THROWS_WITH(forward(), Catch::Contains("at 3, outside 0 … 3"));
  }
  const Tensor labels = Tensor::from<int32_t>({1, 0, 2, 3}, {2, 2}, device_under_test());
  CHECK_THROWS_WITH(tested().soft_cross_entropy(logits, {labels, halves, 1.5}, loss, lse),
                    Catch::Contains("smoothing 1.5 is outside [0, 1]"));
}

}  // namespace
}  // namespace ssa
