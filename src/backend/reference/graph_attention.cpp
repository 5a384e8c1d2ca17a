// Attention inside graphs (EGT, Hussain et al. 2022), one target and head at a time.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/graph_attention_checks.h"
#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;
using reference::Wide;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A head of a row of a (·, H, D) tensor.
template <class T>
T* head_of(Tensor& tensor, int64_t row, int64_t h) {
  return tensor.data<T>() + row * tensor.stride(0) + h * tensor.stride(1);
}
template <class T>
const T* head_of(const Tensor& tensor, int64_t row, int64_t h) {
  return tensor.data<T>() + row * tensor.stride(0) + h * tensor.stride(1);
}

template <class T>
double dot(const T* a, const T* b, int64_t size) {
  double total = 0;
  for (int64_t d = 0; d < size; ++d) total += get(a[d]) * get(b[d]);
  return total;
}

/// What a target needs to know of one of its sources.
struct Pair {
  int64_t row;         // of key and value
  int64_t pair_class;  // of the tables
  double weight;       // p: the logit at first, then its softmax
  bool inside;         // whether the product is not clipped
  double gate, kept;   // g and the factor of dropout
};

/// A node, a head and all of the node's pairs.
struct Target {
  int64_t row, head;
  std::vector<Pair> pairs;
  double lse = -kInfinity, gate_sum = 0, degree = 1;
};

template <class T>
Pair make_pair(const GraphAttentionArgs& args, int64_t row, int64_t h, int64_t source_row,
               int64_t pair_class) {
  const int64_t heads = args.query.dim(1), head_size = args.query.dim(2);
  const double product = args.scale * dot(head_of<T>(args.query, row, h),
                                          head_of<T>(args.key, source_row, h), head_size);
  const double clip = args.logit_clip > 0 ? args.logit_clip : kInfinity;
  Pair pair{source_row, pair_class, std::clamp(product, -clip, clip), std::abs(product) <= clip,
            1,          1};
  pair.weight += get(args.bias_table.data<Wide<T>>()[pair_class * heads + h]);
  if (args.gate_table.defined()) {
    pair.gate = 1 / (1 + std::exp(-get(args.gate_table.data<Wide<T>>()[pair_class * heads + h])));
  }
  return pair;
}

/// Turns logits into weights, and adds up gates.
void normalize(const GraphAttentionArgs& args, bool is_virtual, Target& target) {
  double highest = -kInfinity, total = 0;
  for (const Pair& pair : target.pairs) highest = std::max(highest, pair.weight);
  for (Pair& pair : target.pairs) total += pair.weight = std::exp(pair.weight - highest);
  for (Pair& pair : target.pairs) {
    pair.weight /= total;
    target.gate_sum += pair.gate;
  }
  if (!target.pairs.empty()) target.lse = highest + std::log(total);
  if (args.gate_table.defined() && !is_virtual) target.degree = std::log1p(target.gate_sum);
}

/// Calls f with every target.
template <class T, class F>
void for_each_target(const GraphAttentionArgs& args, F&& f) {
  const int32_t *nodes = args.nodes.data<int32_t>(), *sampled = args.sampled.data<int32_t>();
  const int32_t *sources = args.sources.data<int32_t>(), *pairs = args.pairs.data<int32_t>();
  const int64_t heads = args.query.dim(1), most = largest_graph(args);
  for (int64_t g = 0; g + 1 < args.nodes.numel(); ++g) {
    const int64_t count = nodes[g + 1] - nodes[g];
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* classes = args.classes.data<uint8_t>() + pairs[g] + i * count;
      for (int64_t h = 0; h < heads; ++h) {
        Target target{nodes[g] + i, h, {}};
        for (int64_t s = sampled[g]; s < sampled[g + 1]; ++s) {
          target.pairs.push_back(make_pair<T>(args, target.row, h, s, classes[sources[s]]));
          if (!args.dropout.active()) continue;
          const auto element = static_cast<uint64_t>((target.row * heads + h) * most + sources[s]);
          target.pairs.back().kept =
              args.dropout.keeps(element) ? 1 / (1 - args.dropout.probability) : 0;
        }
        normalize(args, i < args.virtual_nodes, target);
        f(target, i < args.virtual_nodes);
      }
    }
  }
}

template <class T>
void forward(GraphAttentionArgs& args) {
  const int64_t heads = args.query.dim(1), head_size = args.query.dim(2);
  std::vector<double> sums(static_cast<size_t>(head_size));
  for_each_target<T>(args, [&](const Target& target, bool) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (const Pair& pair : target.pairs) {
      const T* value = head_of<T>(args.value, pair.row, target.head);
      const double weight = pair.weight * pair.gate * pair.kept;
      for (size_t d = 0; d < sums.size(); ++d) sums[d] += weight * get(value[d]);
    }
    T* out = head_of<T>(args.out, target.row, target.head);
    for (size_t d = 0; d < sums.size(); ++d) set(out[d], target.degree * sums[d]);
    const int64_t at = target.row * heads + target.head;
    set(args.lse.data<Wide<T>>()[at], target.lse);
    if (args.gate_table.defined()) set(args.gate_sum.data<Wide<T>>()[at], target.gate_sum);
  });
}

// With z the dropout factors, dw_j = z_j·(grad_out·v_j) is the gradient of p_j·g_j before the
// degree multiplies it:
//   mean = Σ_j p_j·g_j·dw_j                        which is (grad_out·out) / degree
//   grad_bias_j = degree·p_j·(g_j·dw_j - mean)     also the product's, unless clipped
//   grad_gate_j = g_j·(1 - g_j)·(degree·p_j·dw_j + mean/(1 + Σ g))     no sum for virtual nodes
template <class T>
void backward(GraphAttentionBackwardArgs& args) {
  const GraphAttentionArgs& fwd = args.forward;
  const int64_t heads = fwd.query.dim(1), head_size = fwd.query.dim(2);
  // Summed in f64, whatever T is, and rounded once.
  const auto sums_like = [](const Tensor& tensor) {
    return Tensor::zeros(tensor.shape(), DType::f64, Device::reference);
  };
  Backend& compute = reference_backend();
  Tensor query_sums = sums_like(args.grad_query), key_sums = sums_like(args.grad_key),
         value_sums = sums_like(args.grad_value), bias_sums = sums_like(fwd.bias_table),
         gate_sums = sums_like(fwd.bias_table);
  compute.copy(args.grad_bias_table, bias_sums);
  if (fwd.gate_table.defined()) compute.copy(args.grad_gate_table, gate_sums);
  for_each_target<T>(fwd, [&](const Target& target, bool is_virtual) {
    const int64_t h = target.head;
    const T* query = head_of<T>(fwd.query, target.row, h);
    const T* grad_out = head_of<T>(args.grad_out, target.row, h);
    std::vector<double> grad_weights;
    double mean = 0;
    for (const Pair& pair : target.pairs) {
      grad_weights.push_back(pair.kept *
                             dot(grad_out, head_of<T>(fwd.value, pair.row, h), head_size));
      mean += pair.weight * pair.gate * grad_weights.back();
    }
    const double grad_gate_sum = is_virtual ? 0 : mean / (1 + target.gate_sum);
    for (size_t s = 0; s < grad_weights.size(); ++s) {
      const Pair& pair = target.pairs[s];
      const double grad_bias = target.degree * pair.weight * (pair.gate * grad_weights[s] - mean);
      bias_sums.data<double>()[pair.pair_class * heads + h] += grad_bias;
      gate_sums.data<double>()[pair.pair_class * heads + h] +=
          pair.gate * (1 - pair.gate) *
          (target.degree * pair.weight * grad_weights[s] + grad_gate_sum);
      const double grad_product = pair.inside ? fwd.scale * grad_bias : 0;
      const double kept = target.degree * pair.weight * pair.gate * pair.kept;
      const T* key = head_of<T>(fwd.key, pair.row, h);
      for (int64_t d = 0; d < head_size; ++d) {
        head_of<double>(query_sums, target.row, h)[d] += grad_product * get(key[d]);
        head_of<double>(key_sums, pair.row, h)[d] += grad_product * get(query[d]);
        head_of<double>(value_sums, pair.row, h)[d] += kept * get(grad_out[d]);
      }
    }
  });
  compute.copy(query_sums, args.grad_query);
  compute.copy(key_sums, args.grad_key);
  compute.copy(value_sums, args.grad_value);
  compute.copy(bias_sums, args.grad_bias_table);
  if (fwd.gate_table.defined()) compute.copy(gate_sums, args.grad_gate_table);
}

}  // namespace

void ReferenceBackend::graph_attention(GraphAttentionArgs& args) {
  checks::require_graphs("graph_attention", args);
  visit_floating(args.query.dtype(), [&]<class T>(TypeTag<T>) { forward<T>(args); });
}

void ReferenceBackend::graph_attention_backward(GraphAttentionBackwardArgs& args) {
  checks::require_graphs("graph_attention_backward", args.forward);
  visit_floating(args.forward.query.dtype(), [&]<class T>(TypeTag<T>) { backward<T>(args); });
}

}  // namespace ssa
