#include <cmath>

#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

namespace {

void check(const Tensor& query, const Tensor& key, const Tensor& value,
           const AttentionOptions& options) {
  check_rank("attention", "query", query, 4);
  check_shape("attention", "key", key, query.shape());
  check_shape("attention", "value", value, query.shape());
  check_same_kind("attention", query, key);
  check_same_kind("attention", query, value);
  const PlanTensors& plan = options.plan;
  check_rank("attention", "plan.targets", plan.targets, 2);
  check_rank("attention", "plan.sources", plan.sources, 2);
  check_integers("attention", "plan.targets", plan.targets);
  check_integers("attention", "plan.sources", plan.sources);
  SSA_CHECK(plan.targets.numel() == query.dim(1) && plan.sources.dim(0) == plan.windows(),
            "attention: a plan with targets {} and sources {} for {} positions",
            to_string(plan.targets.shape()), to_string(plan.sources.shape()), query.dim(1));
  if (options.alibi_slopes.defined()) {
    check_shape("attention", "alibi_slopes", options.alibi_slopes, {query.dim(2)});
    SSA_CHECK(options.alibi_slopes.dtype() == DType::f32,
              "attention: alibi_slopes is {}, should be f32", name(options.alibi_slopes.dtype()));
  }
}

}  // namespace

Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   const AttentionOptions& options) {
  check(query.value(), key.value(), value.value(), options);
  const int64_t batch = query.dim(0), length = query.dim(1), heads = query.dim(2);
  const Device device = query.value().device();
  AttentionArgs args;
  args.query = query.value();
  args.key = key.value();
  args.value = value.value();
  args.plan = options.plan;
  args.scale = 1.0 / std::sqrt(static_cast<double>(query.dim(3)));
  args.causal = options.causal;
  args.alibi_slopes = options.alibi_slopes;
  args.dropout = options.dropout;
  args.out = Tensor::empty(query.shape(), query.value().dtype(), device);
  args.lse = Tensor::empty({batch, heads, length}, statistics_dtype(query.value().dtype()), device);
  backend(device).attention(args);
  return Variable::record(args.out, {query, key, value},
                          [args, to_query = query.slot(), to_key = key.slot(),
                           to_value = value.slot()](const Tensor& grad) {
                            AttentionBackwardArgs backward;
                            backward.forward = args;
                            backward.grad_out = grad;
                            const auto like_query = [&args] {
                              return Tensor::empty(args.query.shape(), args.query.dtype(),
                                                   args.query.device());
                            };
                            backward.grad_query = like_query();
                            backward.grad_key = like_query();
                            backward.grad_value = like_query();
                            backend(grad.device()).attention_backward(backward);
                            to_query.accumulate(backward.grad_query);
                            to_key.accumulate(backward.grad_key);
                            to_value.accumulate(backward.grad_value);
                          });
}

}  // namespace ssa::ops
