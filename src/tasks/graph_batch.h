#pragma once

#include <optional>
#include <span>

#include "ssa/config/config.h"
#include "ssa/data/batch.h"
#include "ssa/data/molecule.h"
#include "ssa/data/pair_classes.h"

namespace ssa {

/// How molecules become the fields that an Egt reads.
struct GraphFormat {
  PairClasses classes;
  int64_t svd_rank = kEncodingRank;
  std::optional<AtomOrder> order;  ///< of the atoms on a line, if sources are drawn on it

  explicit GraphFormat(const Config& config);
};

/// The fields of Egt, and what sources are drawn by: `graph` (B), the number of each molecule in
/// its data set, and with an order `line` (A), the place of each atom on its molecule's line.
Batch graph_batch(std::span<const Molecule> molecules, const GraphFormat& format);

}  // namespace ssa
