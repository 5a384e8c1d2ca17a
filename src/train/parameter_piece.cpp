#include "ssa/train/parameter_piece.h"

namespace ssa {

std::vector<ParameterPiece> whole_parameters(const ParameterStore& store) {
  std::vector<ParameterPiece> pieces;
  for (size_t i = 0; i < store.all().size(); ++i) {
    pieces.push_back({i, 0, store.all()[i].shape.numel()});
  }
  return pieces;
}

Tensor elements_of(const ParameterPiece& piece, const Tensor& tensor) {
  const int64_t whole = tensor.numel();
  SSA_CHECK(piece.begin >= 0 && piece.begin <= piece.end && piece.end <= whole,
            "elements {} to {} of a parameter of {}", piece.begin, piece.end, whole);
  if (piece.numel() == whole) return tensor;
  return tensor.view({whole}).slice(0, piece.begin, piece.numel());
}

}  // namespace ssa
