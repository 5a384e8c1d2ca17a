#pragma once

#include <cstdint>
#include <vector>

#include "ssa/nn/parameters.h"

namespace ssa {

/// Elements begin … end-1 of a parameter as a flat tensor: the piece that one rank updates.
struct ParameterPiece {
  size_t parameter = 0;  ///< its number in the store
  int64_t begin = 0;
  int64_t end = 0;

  int64_t numel() const { return end - begin; }
  bool operator==(const ParameterPiece&) const = default;
};

/// All parameters, each in one piece.
std::vector<ParameterPiece> whole_parameters(const ParameterStore& store);

/// The elements of a piece in a contiguous tensor of the parameter's shape: a flat view, or the
/// tensor itself if the piece is the whole parameter.
Tensor elements_of(const ParameterPiece& piece, const Tensor& tensor);

}  // namespace ssa
