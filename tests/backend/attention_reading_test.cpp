// Attention of queries that start at a later position equals those rows of the whole call.

#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace testing;

/// The call that continues at `start` with `count` positions, which are all targets of `windows`
/// windows from `first_window` on.
AttentionArgs continued(const AttentionArgs& whole, int64_t start, int64_t count,
                        int64_t first_window, int64_t windows) {
  AttentionArgs args = whole;
  args.query_start = start;
  args.query = whole.query.slice(1, start, count);
  const Tensor &targets = whole.plan.targets, &sources = whole.plan.sources;
  const Tensor positions_drawn = host(sources);
  const int64_t per_window = count / windows, end = start + count;
  int64_t visible = sources.dim(1);
  if (windows == 1) {
    const auto* first = positions_drawn.data<int32_t>() + first_window * sources.dim(1);
    visible = std::lower_bound(first, first + visible, end) - first;
  }
  const auto rows = [&](const Tensor& positions, int64_t from, int64_t length) {
    return positions.slice(0, first_window, windows).slice(1, from, length);
  };
  args.plan.targets = rows(targets, windows == 1 ? start % targets.dim(1) : 0, per_window);
  args.plan.sources = rows(sources, 0, visible);
  const int64_t keys = args.compact_sources ? visible : end;
  args.key = whole.key.slice(1, 0, keys);
  args.value = whole.value.slice(1, 0, keys);
  return args;
}

struct Rows {
  Tensor out, lse;
};

Rows run(Backend& backend, AttentionArgs args) {
  const Shape& shape = args.query.shape();
  args.out = Tensor::empty(shape, args.query.dtype(), backend.device());
  args.lse =
      Tensor::empty({shape[0], shape[2], shape[1]}, wide(args.query.dtype()), backend.device());
  backend.attention(args);
  return {args.out, args.lse};
}

/// The largest difference between the part's results and the rows of the whole's.
double difference(const Rows& whole, const Rows& part, int64_t start) {
  double worst = 0;
  const auto compare = [&](const Tensor& all, const Tensor& some, int axis) {
    const Tensor a = for_reference(all.slice(axis, start, some.dim(axis)));
    const Tensor b = for_reference(some);
    for (int64_t i = 0; i < a.numel(); ++i) {
      const double x = a.data<double>()[i], y = b.data<double>()[i];
      if (x != y) worst = std::max(worst, std::isfinite(x - y) ? std::abs(x - y) : INFINITY);
    }
  };
  compare(whole.out, part.out, 1);
  compare(whole.lse, part.lse, 2);
  return worst;
}

struct Part {
  int64_t start, count, first_window = 0, windows = 1;
};

// clang-format off
const AttentionCase kDense = {.length = 130, .heads = 3, .head_size = 24, .causal = true, .alibi = true};
const AttentionCase kLocal = {.length = 192, .heads = 2, .head_size = 32, .sources = Sources::local, .windows = 4, .causal = true, .alibi = true};
const AttentionCase kUnbiased = {.length = 100, .heads = 2, .head_size = 17, .sources = Sources::unbiased, .causal = true, .alibi = true};
const AttentionCase kCompact = {.length = 100, .heads = 2, .head_size = 16, .sources = Sources::unbiased, .causal = true, .compact = true};
const AttentionCase kGrid = {.length = 130, .heads = 3, .head_size = 24, .causal = true, .grid_columns = 12};
const AttentionCase kNearGrid = {.length = 192, .heads = 2, .head_size = 32, .sources = Sources::local, .windows = 4, .causal = true, .grid_columns = 16, .relative_rows = 3, .relative_columns = 9};
const std::vector<std::pair<AttentionCase, std::vector<Part>>> kProblems = {
    {kDense, {{0, 70}, {70, 1}, {71, 59}, {129, 1}}},
    {kLocal, {{48, 48, 1}, {50, 3, 1}, {191, 1, 3}, {96, 96, 2, 2}}},
    {kUnbiased, {{40, 1}, {41, 59}}},
    {kCompact, {{40, 1}, {99, 1}}},
    {kGrid, {{0, 70}, {70, 1}, {71, 59}, {129, 1}}},
    {kNearGrid, {{48, 48, 1}, {50, 3, 1}, {191, 1, 3}, {96, 96, 2, 2}}},
};
// clang-format on

TEST_CASE("attention that reads on gives the rows of attention from the beginning") {
  const DType dtype = GENERATE(from_range(data_dtypes()));
  for (auto [c, parts] : kProblems) {
    c.dtype = dtype;
    const AttentionInputs inputs(c);
    const Rows exact = run(reference_backend(), for_reference(inputs.args));
    for (const Part& p : parts) {
      INFO(c << " from " << p.start << " on, " << p.count);
      const AttentionArgs args =
          continued(inputs.args, p.start, p.count, p.first_window, p.windows);
      CHECK(difference(exact, run(reference_backend(), for_reference(args)), p.start) < 1e-13);
      for_each_variant([&] {
        const double tolerance = dtype != DType::f32 ? 0.02 : 5e-6;
        CHECK(difference(exact, run(tested(), args), p.start) < tolerance);
      });
    }
  }
}

TEST_CASE("attention that reads on has no dropout and no gradient") {
  const AttentionInputs inputs(kDense);
  const AttentionArgs args = continued(inputs.args, 70, 2, 0, 1);
  for (Backend* backend : {&tested(), &reference_backend()}) {
    const bool exact = backend->device() == Device::reference;
    const AttentionArgs mine = exact ? for_reference(args) : args;
    AttentionArgs dropped = mine;
    dropped.dropout.probability = 0.5;
    CHECK_THROWS_AS(run(*backend, dropped), ShapeError);
    AttentionBackwardArgs gradient;
    gradient.forward = mine;
    gradient.forward.out = Tensor::empty_like(mine.query);
    gradient.forward.lse = Tensor::empty({2, 3, 2}, mine.query.dtype(), backend->device());
    CHECK_THROWS_WITH(backend->attention_backward(gradient),
                      Catch::Contains("no gradient where queries start at 70"));
  }
  AttentionArgs short_keys = args;
  short_keys.key = args.key.slice(1, 0, 71);
  CHECK_THROWS_WITH(run(tested(), short_keys), Catch::Contains("key has shape"));
}

}  // namespace
}  // namespace ssa
