#include "ssa/nn/key_value_cache.h"

#include <cmath>

namespace ssa::nn {

KeyValueCache::KeyValueCache(int64_t batch, int64_t capacity, int64_t heads, int64_t head_size,
                             DType dtype, Device device)
    : pairs_(Tensor::empty({batch, capacity, 2 * heads, head_size}, dtype, device,
                           MemoryCategory::workspace)),
      heads_(heads) {}

void KeyValueCache::append(const Tensor& key_value) {
  const int64_t count = key_value.dim(1);
  SSA_CHECK(length_ + count <= capacity(), "key/value cache: {} positions more than the {} of {}",
            count, length_, capacity());
  Tensor room = pairs_.slice(1, length_, count);
  SSA_CHECK(key_value.shape() == room.shape(), "key/value cache: {} for {}",
            to_string(key_value.shape()), to_string(room.shape()));
  backend(pairs_.device()).copy(key_value, room);
  length_ += count;
}

Tensor KeyValueCache::attend(const Tensor& query, const std::vector<std::vector<PlanPart>>& plans,
                             const Tensor& alibi_slopes, const ops::RelativeBias& relative) const {
  const auto groups = static_cast<int64_t>(plans.size());
  SSA_CHECK(groups > 0 && batch() % groups == 0, "key/value cache: {} plans for {} sequences",
            groups, batch());
  const Shape& shape = query.shape();
  Backend& compute = backend(query.device());
  Tensor out = Tensor::empty(shape, query.dtype(), query.device(), MemoryCategory::workspace);
  const int64_t sequences = batch() / groups, first_new = length_ - shape[1];
  for (int64_t group = 0; group < groups; ++group) {
    for (const PlanPart& part : plans[static_cast<size_t>(group)]) {
      const int64_t targets = part.plan.targets_per_window(), end = part.first + targets;
      const auto rows = [&](const Tensor& tensor, int64_t first, int64_t count) {
        return tensor.slice(0, group * sequences, sequences).slice(1, first, count);
      };
      AttentionArgs args;
      args.query = rows(query, part.first - first_new, targets);
      args.out = rows(out, part.first - first_new, targets);
      if (part.plan.sources_per_window() == 0) {  // no source: the result is 0
        compute.copy(Tensor::zeros(args.out.shape(), out.dtype(), out.device()), args.out);
        continue;
      }
      const Tensor pairs = rows(pairs_, 0, end);
      args.key = pairs.slice(2, 0, heads_);
      args.value = pairs.slice(2, heads_, heads_);
      args.plan = part.plan;
      args.query_start = part.first;
      args.scale = 1.0 / std::sqrt(static_cast<double>(shape[3]));
      args.causal = true;
      args.alibi_slopes = alibi_slopes;
      if (relative.table.defined()) {
        args.relative_table = relative.table.value();
        args.relative_rows = relative.rows;
        args.relative_columns = relative.columns;
        args.relative_channels = relative.channels;
        args.grid_columns = relative.grid_columns;
        args.grid_channels = relative.grid_channels;
      }
      args.lse = Tensor::empty({sequences, heads_, targets}, wide(query.dtype()), query.device(),
                               MemoryCategory::workspace);
      compute.attention(args);
    }
  }
  return out;
}

}  // namespace ssa::nn
