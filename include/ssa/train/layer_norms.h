#pragma once

#include <string>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/train/optimizer.h"

namespace ssa {

/// Norms of a layer: of all its parameters together.
struct LayerNorms {
  std::string layer;
  double gradient = 0;    ///< before clipping
  double parameters = 0;  ///< before the update

  bool operator==(const LayerNorms&) const = default;
};

/// The layer that a parameter belongs to: its name up to the last number in it, "blocks.0" of
/// "blocks.0.attention.query.weight"; without a number up to the first dot.
std::string layer_of(const std::string& parameter);

/// The norms of all layers, in the order of the model, the same on all ranks; all of them call
/// this, between the sum of the gradients over the ranks and the update. `sharded`: each rank has
/// the sums of its own pieces only. The gradients are `loss_scale` times what they mean.
std::vector<LayerNorms> layer_norms(const Optimizer& optimizer, Communicator& ranks, bool sharded,
                                    double loss_scale);

}  // namespace ssa
