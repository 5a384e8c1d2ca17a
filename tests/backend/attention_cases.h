#pragma once

#include <algorithm>
#include <optional>
#include <ostream>

#include "ssa/sampling/source_plan.h"

#include "backend/cases.h"

namespace ssa::testing {

enum class Sources { dense, unbiased, local, random, shuffled, swin, unbiased_swin };

/// One attention problem.
struct AttentionCase {
  int64_t batch = 2, length = 1, heads = 1, head_size = 1;
  Sources sources = Sources::dense;
  int64_t windows = 1, sources_per_window = 0;  // of random and shuffled
  bool causal = false, alibi = false;
  double dropout = 0;
  double amplitude = 1;
  bool compact = false;      // keys and values of the sampled positions only
  int64_t grid_columns = 0;  // columns of the grid of a learned 2-D bias; 0 without one
  int64_t relative_rows = 0, relative_columns = 0;  // of its table; 0: those of the grid
  int64_t grid_channels = 1, relative_channels = 1;
  int64_t regions = 0;  // number of regions; 0 without regions
  bool regions_by_sequence = false;
  int64_t shift = 0;  // of Swin's windows, which have the size of the table and divide the grid
  double drop = 0.4;  // of the unbiased kinds
  DType dtype = DType::f32;
};

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << "B " << c.batch << " N " << c.length << " H " << c.heads << " D " << c.head_size
             << " sources " << static_cast<int>(c.sources) << " W " << c.windows << " S "
             << c.sources_per_window << " causal " << c.causal << " alibi " << c.alibi
             << " dropout " << c.dropout << " amplitude " << c.amplitude << " compact " << c.compact
             << " grid of " << c.grid_columns << " table of " << c.relative_rows << " × "
             << c.relative_columns << " channels " << c.relative_channels << " of "
             << c.grid_channels << " regions " << c.regions << " shift " << c.shift << " "
             << name(c.dtype);
}

/// Windows of arbitrary targets and sources, in arbitrary order.
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
      spec.drop = c.drop;
      break;
    case Sources::local:
      spec.kind = PlanKind::local_1d;
      spec.windows = c.windows;
      spec.sigma = 0.1;
      break;
    case Sources::swin:
    case Sources::unbiased_swin:
      spec.kind =
          c.sources == Sources::swin ? PlanKind::swin_windows : PlanKind::unbiased_swin_windows;
      spec.drop = c.drop;
      spec.rows = c.length / c.grid_columns;
      spec.columns = c.grid_columns;
      spec.window_rows = spec.block_rows = c.relative_rows;
      spec.window_columns = spec.block_columns = c.relative_columns;
      spec.shift_rows = spec.shift_columns = c.shift;
      break;
    default:
      return random_plan(c);
  }
  return draw_plan(spec, RngKey{.seed = 3, .purpose = RngPurpose::plan});
}

/// Consecutive positions share a region, like packed documents. The sequences differ.
inline Tensor make_regions(const AttentionCase& c) {
  const int64_t rows = c.regions_by_sequence ? c.batch : 1;
  std::vector<int32_t> regions;
  for (int64_t b = 0; b < rows; ++b) {
    for (int64_t i = 0; i < c.length; ++i) {
      regions.push_back(static_cast<int32_t>((i + 5 * b) * c.regions / c.length - 1));
    }
  }
  return Tensor::from(regions, {rows, c.length}, device_under_test());
}

/// The arguments of a case, on the device under test. Query, key and value are slices of one (B, N,
/// 3H+1, D) tensor; compact keys and values of one (B, S, 2H+1, D) tensor.
struct AttentionInputs {
  AttentionArgs args;
  Tensor grad_out;
  Tensor grad_table;  // the gradient of the learned 2-D bias is added to this
  explicit AttentionInputs(const AttentionCase& c) {
    const SourcePlan plan = make_plan(c);
    const auto random = [&](int64_t rows, int64_t heads, uint32_t seed, double amplitude) {
      return converted(random_tensor({c.batch, rows, heads, c.head_size}, seed, amplitude),
                       c.dtype);
    };
    const Tensor fused = random(c.length, 3 * c.heads + 1, 11, c.amplitude);
    const Tensor gathered = c.compact
                                ? random(plan.sources_per_window, 2 * c.heads + 1, 13, c.amplitude)
                                : fused.slice(2, c.heads, 2 * c.heads);
    args.query = fused.slice(2, 0, c.heads);
    args.key = gathered.slice(2, 0, c.heads);
    args.value = gathered.slice(2, c.heads, c.heads);
    args.compact_sources = c.compact;
    args.plan.targets =
        Tensor::from(plan.targets, {plan.windows, plan.targets_per_window}, device_under_test());
    args.plan.sources =
        Tensor::from(plan.sources, {plan.windows, plan.sources_per_window}, device_under_test());
    args.scale = 1.0 / std::sqrt(static_cast<double>(c.head_size));
    args.causal = c.causal;
    if (c.alibi) {
      std::vector<float> slopes;
      for (int h = 0; h < c.heads; ++h) slopes.push_back(std::ldexp(1.0f, -1 - h));
      args.alibi_slopes = Tensor::from(slopes, {c.heads}, device_under_test());
    }
    if (c.grid_columns > 0) {
      const int64_t per_row = c.grid_columns * c.grid_channels;
      const int64_t grid_rows = (c.length + per_row - 1) / per_row;
      args.grid_columns = c.grid_columns;
      args.grid_channels = c.grid_channels;
      args.relative_channels = c.relative_channels;
      args.relative_rows = c.relative_rows > 0 ? c.relative_rows : grid_rows;
      args.relative_columns = c.relative_columns > 0 ? c.relative_columns : c.grid_columns;
      const Shape shape = {(2 * args.relative_rows - 1) * (2 * args.relative_columns - 1) *
                               (2 * args.relative_channels - 1),
                           c.heads};
      args.relative_table = random_tensor(shape, 14, 2.0);
      grad_table = random_tensor(shape, 15, 0.1);
    }
    if (c.regions > 0) args.regions = make_regions(c);
    args.dropout = {c.dropout, RngKey{.seed = 9,
                                      .purpose = RngPurpose::attention_dropout,
                                      .step = 2,
                                      .rank = 1,
                                      .layer = 3,
                                      .stream = 4}};
    grad_out = random(c.length, c.heads + 1, 12, 1.0).slice(2, 1, c.heads);
  }
};

/// Results of a case, in the order of kAttentionResultNames; the last only with a learned 2-D bias.
struct AttentionResults {
  std::vector<Tensor> tensors;
  bool intact = true;
};
inline const char* const kAttentionResultNames[] = {
    "out", "lse", "grad_query", "grad_key", "grad_value", "grad_relative_table"};

/// A (B, N, H, D) output, NaN at first. Its guards are the heads before and after it in a (B, N,
/// H+2, D) tensor.
class GuardedHeads {
 public:
  GuardedHeads(const Shape& shape, DType dtype)
      : heads_(shape[2]),
        whole_(filled_with({shape[0], shape[1], heads_ + 2, shape[3]}, dtype, std::nan(""))),
        tensor(whole_.slice(2, 1, heads_)) {
    Tensor whole = host(whole_);
    for (const int64_t head : {int64_t{0}, heads_ + 1}) {
      Tensor guard = whole.slice(2, head, 1);
      Tensor sentinel = Tensor::empty(guard.shape(), dtype, Device::cpu);
      reference_backend().fill(sentinel, kSentinel);
      reference_backend().copy(sentinel, guard);
    }
    whole_ = on_device(whole);
    tensor = whole_.slice(2, 1, heads_);
  }
  bool intact() const {
    for (const int64_t head : {int64_t{0}, heads_ + 1}) {
      const Tensor guard = for_reference(whole_.slice(2, head, 1));
      for (int64_t i = 0; i < guard.numel(); ++i) {
        if (guard.data<double>()[i] != kSentinel) return false;
      }
    }
    return true;
  }

 private:
  static constexpr double kSentinel = 42.0;
  int64_t heads_;
  Tensor whole_;

 public:
  Tensor tensor;
};

inline AttentionResults run_on_device(const AttentionInputs& inputs) {
  const Tensor &query = inputs.args.query, &key = inputs.args.key;
  const DType dtype = query.dtype();
  AttentionBackwardArgs args;
  args.forward = inputs.args;
  GuardedHeads out(query.shape(), dtype), grad_query(query.shape(), dtype);
  GuardedHeads grad_key(key.shape(), dtype), grad_value(key.shape(), dtype);
  Guarded lse({query.dim(0), query.dim(2), query.dim(1)});
  args.forward.out = out.tensor;
  args.forward.lse = lse.tensor;
  tested().attention(args.forward);
  args.grad_out = inputs.grad_out;
  args.grad_query = grad_query.tensor;
  args.grad_key = grad_key.tensor;
  args.grad_value = grad_value.tensor;
  std::optional<Guarded> grad_table;
  if (inputs.grad_table.defined()) {
    args.grad_relative_table = grad_table.emplace(inputs.grad_table).tensor;
  }
  tested().attention_backward(args);
  AttentionResults results;
  for (const Tensor& part :
       {out.tensor, lse.tensor, grad_query.tensor, grad_key.tensor, grad_value.tensor}) {
    results.tensors.push_back(converted(host(part), part.dtype()));
  }
  results.intact = lse.intact() && (!grad_table || grad_table->intact());
  if (grad_table) results.tensors.push_back(converted(host(grad_table->tensor), DType::f32));
  for (const GuardedHeads* part : {&out, &grad_query, &grad_key, &grad_value}) {
    results.intact = results.intact && part->intact();
  }
  return results;
}

/// The inputs for the reference.
inline AttentionArgs for_reference(AttentionArgs args) {
  for (Tensor* tensor :
       {&args.query, &args.key, &args.value, &args.plan.targets, &args.plan.sources}) {
    *tensor = for_reference(*tensor);
  }
  if (args.alibi_slopes.defined()) args.alibi_slopes = host(args.alibi_slopes);
  if (args.relative_table.defined()) args.relative_table = for_reference(args.relative_table);
  if (args.regions.defined()) args.regions = for_reference(args.regions);
  return args;
}

inline AttentionResults run_on_reference(const AttentionInputs& inputs) {
  const Shape &shape = inputs.args.query.shape(), sources = inputs.args.key.shape();
  AttentionBackwardArgs args;
  args.forward = for_reference(inputs.args);
  args.forward.out = reference_zeros(shape);
  args.forward.lse = reference_zeros({shape[0], shape[2], shape[1]});
  reference_backend().attention(args.forward);
  args.grad_out = for_reference(inputs.grad_out);
  args.grad_query = reference_zeros(shape);
  args.grad_key = reference_zeros(sources);
  args.grad_value = reference_zeros(sources);
  if (inputs.grad_table.defined()) args.grad_relative_table = for_reference(inputs.grad_table);
  reference_backend().attention_backward(args);
  AttentionResults results = {
      {args.forward.out, args.forward.lse, args.grad_query, args.grad_key, args.grad_value}};
  if (inputs.grad_table.defined()) results.tensors.push_back(args.grad_relative_table);
  return results;
}

}  // namespace ssa::testing
