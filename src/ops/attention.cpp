#include <array>
#include <cmath>

#include "ssa/ops/ops.h"

#include "ops/checks.h"
#include "ops/head_ranges.h"

namespace ssa::ops {

namespace {

void check_relative(const RelativeBias& relative, const Tensor& query) {
  const Tensor& table = relative.table.value();
  SSA_CHECK(relative.rows > 0 && relative.columns > 0 && relative.grid_columns > 0,
            "attention: a learned 2-D bias of {} rows and {} columns on a grid of {} columns; all "
            "must be positive",
            relative.rows, relative.columns, relative.grid_columns);
  const int64_t channels = relative.channels;
  SSA_CHECK(channels > 0 && (channels == 1 || channels == relative.grid_channels),
            "attention: a learned 2-D bias of {} channels on a grid with {} in each cell; give as "
            "many, or 1 not to tell them apart",
            channels, relative.grid_channels);
  check_shape(
      "attention", "relative.table", table,
      {(2 * relative.rows - 1) * (2 * relative.columns - 1) * (2 * channels - 1), query.dim(2)});
  check_parameter("attention", "relative.table", table, query);
}

void check_regions(const Tensor& regions, const Tensor& query) {
  check_rank("attention", "regions", regions, 2);
  check_integers("attention", "regions", regions);
  SSA_CHECK(
      (regions.dim(0) == 1 || regions.dim(0) == query.dim(0)) && regions.dim(1) == query.dim(1),
      "attention: regions are {}, should be ({} or 1, {})", to_string(regions.shape()),
      query.dim(0), query.dim(1));
  SSA_CHECK(regions.device() == query.device(), "attention: regions are on {}, query on {}",
            name(regions.device()), name(query.device()));
}

void check(const Tensor& query, const Tensor& key, const Tensor& value,
           const AttentionOptions& options) {
  const PlanTensors& plan = options.plan;
  check_rank("attention", "plan.targets", plan.targets, 2);
  check_rank("attention", "plan.sources", plan.sources, 2);
  check_integers("attention", "plan.targets", plan.targets);
  check_integers("attention", "plan.sources", plan.sources);
  SSA_CHECK(plan.targets.numel() == query.dim(1) && plan.sources.dim(0) == plan.windows(),
            "attention: a plan with targets {} and sources {} for {} positions",
            to_string(plan.targets.shape()), to_string(plan.sources.shape()), query.dim(1));
  SSA_CHECK(!options.compact_sources || plan.windows() == 1,
            "attention: compact sources need a plan of one window, this one has {}",
            plan.windows());
  const int64_t rows = options.compact_sources ? plan.sources_per_window() : query.dim(1);
  const Shape shape{query.dim(0), rows, query.dim(2), query.dim(3)};
  check_shape("attention", "key", key, shape);
  check_shape("attention", "value", value, shape);
  check_same_kind("attention", query, key);
  check_same_kind("attention", query, value);
  if (options.alibi_slopes.defined()) {
    check_shape("attention", "alibi_slopes", options.alibi_slopes, {query.dim(2)});
    SSA_CHECK(options.alibi_slopes.dtype() == DType::f32,
              "attention: alibi_slopes is {}, should be f32", name(options.alibi_slopes.dtype()));
  }
  const bool relative = options.relative.table.defined(), regions = options.regions.defined();
  if (relative) check_relative(options.relative, query);
  if (regions) check_regions(options.regions, query);
  SSA_CHECK(!options.materialized || (!relative && !regions),
            "attention: the materialized form has no {}; use the fused one",
            relative ? "learned 2-D bias" : "regions");
}

Tensor heads_of(const char* name, const HeadRange& range) {
  check_rank("attention", name, range.tensor.value(), 4);
  return range.tensor.value().slice(2, range.first, range.count);
}

}  // namespace

HeadRange::HeadRange(Variable whole) : tensor(std::move(whole)) {
  if (tensor.value().rank() == 4) count = tensor.dim(2);  // else attention() throws
}

HeadRange::HeadRange(Variable of, int64_t first_head, int64_t heads)
    : tensor(std::move(of)), first(first_head), count(heads) {}

Variable attention(const HeadRange& query, const HeadRange& key, const HeadRange& value,
                   const AttentionOptions& options) {
  AttentionArgs args;
  args.query = heads_of("query", query);
  args.key = heads_of("key", key);
  args.value = heads_of("value", value);
  check(args.query, args.key, args.value, options);
  const Shape& shape = args.query.shape();
  const Device device = args.query.device();
  args.plan = options.plan;
  args.compact_sources = options.compact_sources;
  args.scale = 1.0 / std::sqrt(static_cast<double>(shape[3]));
  args.causal = options.causal;
  args.alibi_slopes = options.alibi_slopes;
  args.dropout = options.dropout;
  args.regions = options.regions;
  std::vector<Variable> inputs{query.tensor, key.tensor, value.tensor};
  GradSlot to_table;
  if (options.relative.table.defined()) {
    args.relative_table = options.relative.table.value();
    args.relative_rows = options.relative.rows;
    args.relative_columns = options.relative.columns;
    args.relative_channels = options.relative.channels;
    args.grid_columns = options.relative.grid_columns;
    args.grid_channels = options.relative.grid_channels;
    inputs.push_back(options.relative.table);
    to_table = options.relative.table.slot();
  }
  const std::array ranges{RangeSlot(query), RangeSlot(key), RangeSlot(value)};
  if (options.materialized) {
    return materialized_attention(args, ranges, inputs);
  }
  args.out = Tensor::empty(shape, args.query.dtype(), device);
  args.lse = Tensor::empty({shape[0], shape[2], shape[1]}, wide(args.query.dtype()), device);
  backend(device).attention(args);
  return Variable::record(args.out, inputs, [args, ranges, to_table](const Tensor& grad) {
    const RangeGradients gradients(ranges, args.query);
    AttentionBackwardArgs backward;
    backward.forward = args;
    backward.grad_out = grad;
    backward.grad_query = gradients.part(0);
    backward.grad_key = gradients.part(1);
    backward.grad_value = gradients.part(2);
    if (to_table.wanted()) {
      backward.grad_relative_table = to_table.zeroed_target();
    }
    backend(grad.device()).attention_backward(backward);
    gradients.pass_on();
  });
}

}  // namespace ssa::ops
