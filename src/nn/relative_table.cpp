#include "ssa/nn/relative_table.h"

namespace ssa::nn {

RelativeTable::RelativeTable(ParameterStore& store, const std::string& name, int64_t heads,
                             const RelativeReach& reach)
    : reach_(reach) {
  SSA_CHECK(reach.rows > 0 && reach.columns > 0,
            "{}: a relative bias of {} rows and {} columns; give both, or none", name, reach.rows,
            reach.columns);
  const int64_t down = reach.causal ? reach.rows : 2 * reach.rows - 1;
  entries_ =
      store.add(name, {down * reach.entries_per_row(), heads}, Init::normal(0.02), Decay::never);
}

ops::RelativeBias RelativeTable::on_grid(int64_t grid_columns, int64_t grid_channels) const {
  ops::RelativeBias bias{entries_,     reach_.rows,     reach_.columns,
                         grid_columns, reach_.channels, grid_channels};
  if (!reach_.causal || reach_.rows == 1) return bias;
  // Attention reads the whole table. Its first rows are for sources below the target, which a
  // causal model never sees: any finite number will do.
  const Tensor& entries = entries_.value();
  const int64_t below = (reach_.rows - 1) * reach_.entries_per_row();
  const Tensor unseen = Tensor::zeros({below, entries.dim(1)}, entries.dtype(), entries.device());
  bias.table = ops::concat_rows({Variable(unseen), entries_});
  return bias;
}

}  // namespace ssa::nn
