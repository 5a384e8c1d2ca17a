#pragma once

#include <vector>

#include "ssa/nn/parameters.h"
#include "ssa/storage/safetensors.h"

namespace ssa {

/// An exponential moving average of the parameters of a store, in f32 (Polyak & Juditsky 1992):
/// after each update, average += (1 - decay)·(parameter - average). It begins as a copy of the
/// parameters. Every rank keeps all of it: its bits depend on nothing but the parameters.
class WeightAverage {
 public:
  /// `store` must outlive it.
  WeightAverage(double decay, const ParameterStore& store);

  /// Call after each update of the parameters.
  void update();
  /// Begins again, as a copy of the present parameters.
  void restart();
  /// Swaps the average with the parameters: a model then computes with the average. A second call
  /// restores every bit.
  void swap();
  /// Replaces the average by that of a checkpoint. Throws CheckpointError naming the parameter if
  /// names or shapes differ from the store's.
  void load(const SafetensorsFile& file);
  /// Under the names of the parameters.
  std::vector<NamedTensor> named() const;

 private:
  double decay_;
  const ParameterStore& store_;
  std::vector<Tensor> average_;  // in the order of the parameters
};

}  // namespace ssa
