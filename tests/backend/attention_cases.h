#pragma once

#include <algorithm>
#include <ostream>

#include "ssa/sampling/source_plan.h"

#include "backend/cases.h"

namespace ssa::test {

enum class Sources { dense, unbiased, local, random, shuffled };

/// One attention problem.
struct AttentionCase {
  int64_t batch = 2, length = 1, heads = 1, head_size = 1;
  Sources sources = Sources::dense;
  int64_t windows = 1, sources_per_window = 0;  // of random and shuffled
  bool causal = false, alibi = false;
  double dropout = 0;
  double amplitude = 1;
};

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << "B " << c.batch << " N " << c.length << " H " << c.heads << " D " << c.head_size
             << " sources " << static_cast<int>(c.sources) << " W " << c.windows << " S "
             << c.sources_per_window << " causal " << c.causal << " alibi " << c.alibi
             << " dropout " << c.dropout << " amplitude " << c.amplitude;
}

/// Windows of any targets with any sources, in any order.
inline SourcePlan random_plan(const AttentionCase& c) {
  std::mt19937 engine(77);
  std::vector<int32_t> order(static_cast<size_t>(c.length));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  const auto shuffle = [&] {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  };
  SourcePlan plan{c.length, c.windows, c.length / c.windows, c.sources_per_window, order, {}};
  if (c.sources == Sources::shuffled) {
    shuffle();
    plan.targets = order;
  }
  for (int64_t w = 0; w < c.windows; ++w) {
    shuffle();
    std::vector<int32_t> chosen(order.begin(), order.begin() + c.sources_per_window);
    if (c.sources == Sources::random) std::sort(chosen.begin(), chosen.end());
    plan.sources.insert(plan.sources.end(), chosen.begin(), chosen.end());
  }
  return plan;
}

inline SourcePlan make_plan(const AttentionCase& c) {
  PlanSpec spec;
  spec.positions = c.length;
  spec.causal = c.causal;
  switch (c.sources) {
    case Sources::dense:
      break;
    case Sources::unbiased:
      spec.kind = PlanKind::unbiased;
      spec.causal = false;
      spec.drop = 0.4;
      break;
    case Sources::local:
      spec.kind = PlanKind::local_1d;
      spec.windows = c.windows;
      spec.sigma = 0.1;
      break;
    default:
      return random_plan(c);
  }
  return draw_plan(spec, RngKey{.seed = 3, .purpose = RngPurpose::plan});
}

/// The arguments of a case, with query, key and value as slices of one (B, N, 3H+1, D) tensor.
struct AttentionInputs {
  AttentionArgs args;
  Tensor grad_out;
  explicit AttentionInputs(const AttentionCase& c) {
    const Tensor fused =
        random_tensor({c.batch, c.length, 3 * c.heads + 1, c.head_size}, 11, c.amplitude);
    args.query = fused.slice(2, 0, c.heads);
    args.key = fused.slice(2, c.heads, c.heads);
    args.value = fused.slice(2, 2 * c.heads, c.heads);
    const SourcePlan plan = make_plan(c);
    args.plan.targets =
        Tensor::from(plan.targets, {plan.windows, plan.targets_per_window}, Device::cpu);
    args.plan.sources =
        Tensor::from(plan.sources, {plan.windows, plan.sources_per_window}, Device::cpu);
    args.scale = 1.0 / std::sqrt(static_cast<double>(c.head_size));
    args.causal = c.causal;
    if (c.alibi) {
      args.alibi_slopes = Tensor::empty({c.heads}, DType::f32, Device::cpu);
      for (int64_t h = 0; h < c.heads; ++h) {
        args.alibi_slopes.data<float>()[h] = std::ldexp(1.0f, static_cast<int>(-1 - h));
      }
    }
    args.dropout = {c.dropout, RngKey{.seed = 9,
                                      .purpose = RngPurpose::attention_dropout,
                                      .step = 2,
                                      .rank = 1,
                                      .layer = 3,
                                      .stream = 4}};
    grad_out = random_tensor({c.batch, c.length, c.heads, c.head_size}, 12);
  }
};

/// Results of a case, in the order out, lse, grad_query, grad_key, grad_value.
struct AttentionResults {
  std::vector<Tensor> tensors;
  bool intact = true;
};

inline AttentionResults run_on_cpu(const AttentionInputs& inputs) {
  const Shape& shape = inputs.args.query.shape();
  AttentionBackwardArgs args;
  args.forward = inputs.args;
  Guarded out(shape), lse({shape[0], shape[2], shape[1]});
  args.forward.out = out.tensor;
  args.forward.lse = lse.tensor;
  cpu_backend().attention(args.forward);
  args.grad_out = inputs.grad_out;
  // Gradients go to slices of one tensor, as queries, keys and values came from one.
  Guarded fused({shape[0], shape[1], 3 * shape[2] + 1, shape[3]});
  cpu_backend().fill(fused.tensor, 42.0);
  args.grad_query = fused.tensor.slice(2, 0, shape[2]);
  args.grad_key = fused.tensor.slice(2, shape[2], shape[2]);
  args.grad_value = fused.tensor.slice(2, 2 * shape[2], shape[2]);
  cpu_backend().attention_backward(args);
  AttentionResults results{{out.tensor, lse.tensor}, true};
  for (const Tensor& part : {args.grad_query, args.grad_key, args.grad_value}) {
    results.tensors.push_back(Tensor::empty(shape, DType::f32, Device::cpu));
    cpu_backend().copy(part, results.tensors.back());
  }
  const Tensor rest = for_reference(fused.tensor.slice(2, 3 * shape[2], 1));
  for (int64_t i = 0; i < rest.numel(); ++i) {
    results.intact = results.intact && rest.data<double>()[i] == 42.0;
  }
  results.intact = results.intact && out.intact() && lse.intact() && fused.intact();
  return results;
}

inline AttentionResults run_on_reference(const AttentionInputs& inputs) {
  const Shape& shape = inputs.args.query.shape();
  AttentionBackwardArgs args;
  args.forward = inputs.args;
  args.forward.query = for_reference(inputs.args.query);
  args.forward.key = for_reference(inputs.args.key);
  args.forward.value = for_reference(inputs.args.value);
  args.forward.out = reference_zeros(shape);
  args.forward.lse = reference_zeros({shape[0], shape[2], shape[1]});
  reference_backend().attention(args.forward);
  args.grad_out = for_reference(inputs.grad_out);
  args.grad_query = reference_zeros(shape);
  args.grad_key = reference_zeros(shape);
  args.grad_value = reference_zeros(shape);
  reference_backend().attention_backward(args);
  return {{args.forward.out, args.forward.lse, args.grad_query, args.grad_key, args.grad_value},
          true};
}

}  // namespace ssa::test
