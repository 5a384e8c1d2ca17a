// The softmax on stored logits against the reference.

#include "backend/attention_cases.h"
#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

const std::vector<AttentionCase> kCases = {
    {.length = 1},
    {.length = 3, .causal = true},
    {.length = 16, .heads = 2, .alibi = true},
    {.length = 33, .heads = 3, .causal = true, .alibi = true},
    {.length = 60, .heads = 2, .sources = Sources::local, .windows = 4, .causal = true},
    {.length = 60, .sources = Sources::unbiased, .causal = true, .alibi = true},
    {.length = 48,
     .heads = 2,
     .sources = Sources::random,
     .windows = 3,
     .sources_per_window = 7,
     .causal = true,
     .alibi = true},
    {.length = 48,
     .sources = Sources::shuffled,
     .windows = 2,
     .sources_per_window = 19,
     .causal = true},
    {.batch = 1, .length = 500, .heads = 2, .causal = true, .alibi = true, .amplitude = 40},
};

Shape matrices(const AttentionCase& c, const SourcePlan& plan) {
  return {c.batch, c.heads, plan.windows, plan.targets_per_window, plan.sources_per_window};
}

/// The arguments for one of the two backends.
MaskedSoftmaxArgs arguments(Backend& backend, const AttentionCase& c, const Tensor& logits,
                            const Tensor& out) {
  AttentionArgs attention = AttentionInputs(c).args;
  if (backend.device() == Device::reference) attention = for_reference(attention);
  MaskedSoftmaxArgs args;
  args.logits = logits;
  args.plan = attention.plan;
  args.scale = 0.7;
  args.causal = attention.causal;
  args.alibi_slopes = attention.alibi_slopes;
  args.out = out;
  return args;
}

TEST_CASE("masked_softmax and its gradient equal the reference, in place too") {
  for (const AttentionCase& c : kCases) {
    CAPTURE(c);
    const Shape shape = matrices(c, make_plan(c));
    const Tensor logits = random_tensor(shape, 1, 4 * c.amplitude);
    const Tensor grad = random_tensor(shape, 2);
    Tensor exact = reference_zeros(shape), exact_grad = reference_zeros(shape);
    reference_backend().masked_softmax(
        arguments(reference_backend(), c, for_reference(logits), exact));
    reference_backend().masked_softmax_backward(exact, 0.7, for_reference(grad), exact_grad);
    for_each_variant([&] {
      Guarded out(shape), in_place(logits), dx(shape), dx_in_place(grad);
      tested().masked_softmax(arguments(tested(), c, logits, out.tensor));
      tested().masked_softmax(arguments(tested(), c, in_place.tensor, in_place.tensor));
      CHECK(worst_error(out.tensor, exact, 1e-3) < 2e-5);
      CHECK(same_bits(out.tensor, in_place.tensor));
      tested().masked_softmax_backward(out.tensor, 0.7, grad, dx.tensor);
      tested().masked_softmax_backward(out.tensor, 0.7, dx_in_place.tensor, dx_in_place.tensor);
      CHECK(worst_error(dx.tensor, exact_grad, 1e-2) < 2e-5);
      CHECK(same_bits(dx.tensor, dx_in_place.tensor));
      CHECK((out.intact() && in_place.intact() && dx.intact() && dx_in_place.intact()));
    });
  }
}

TEST_CASE("masked_softmax of low precision and its gradient equal the reference") {
  for (const AttentionCase& c : kCases) {
    CAPTURE(c);
    const Shape shape = matrices(c, make_plan(c));
    const Tensor logits = random_data(shape, 1, 4.0), weights = random_data(shape, 3);
    const Tensor grad = random_data(shape, 2);
    check_low_precision(1e-3, [&](Run& run) {
      run.backend.masked_softmax(arguments(run.backend, c, run.in(logits), run.data(shape)));
      run.backend.masked_softmax_backward(run.in(weights), 0.7, run.in(grad), run.data(shape));
    });
  }
}

TEST_CASE("masked_softmax: rows add up to 1, or are 0 where nothing is seen") {
  const AttentionCase c{.length = 48,
                        .sources = Sources::random,
                        .windows = 3,
                        .sources_per_window = 5,
                        .causal = true};
  const Shape shape = matrices(c, make_plan(c));
  const Tensor logits = random_tensor(shape, 1, 4.0);
  const MaskedSoftmaxArgs args = arguments(tested(), c, logits, Tensor::empty_like(logits));
  const Tensor targets = host(args.plan.targets), sources = host(args.plan.sources);
  const int32_t *target = targets.data<int32_t>(), *source = nullptr;
  for_each_variant([&] {
    tested().masked_softmax(args);
    const Tensor out = host(args.out);
    int unseeing = 0;
    for (int64_t row = 0; row < shape.numel() / 5; ++row) {
      source = sources.data<int32_t>() + row % 48 / 16 * 5;
      double total = 0;
      bool sees = false;
      for (int64_t s = 0; s < 5; ++s) {
        const float weight = out.data<float>()[row * 5 + s];
        total += static_cast<double>(weight);
        sees = sees || source[s] <= target[row % 48];
        CHECK((weight > 0) == (source[s] <= target[row % 48]));
      }
      CHECK(total == Approx(sees ? 1.0 : 0.0).margin(1e-6));
      unseeing += sees ? 0 : 1;
    }
    CHECK(unseeing > 0);
  });
}

TEST_CASE("masked_softmax lets NaN through") {
  for_each_variant([] {
    const AttentionCase c{.batch = 1, .length = 40, .causal = true};
    Tensor logits = random_on_host({1, 1, 1, 40, 40}, 1);
    logits.data<float>()[0] = NAN;
    logits.data<float>()[7 * 40 + 3] = NAN;
    logits = on_device(logits);
    Guarded out(logits.shape());
    tested().masked_softmax(arguments(tested(), c, logits, out.tensor));
    CHECK(std::isnan(at(out.tensor, 0)));
    CHECK(std::isnan(at(out.tensor, 7 * 40 + 3)));
    CHECK(std::isfinite(at(out.tensor, 8 * 40)));
  });
}

}  // namespace
}  // namespace ssa
