#include "ssa/models/model.h"

namespace ssa {

const Tensor& ModelInput::field(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const auto& [own, tensor] : fields) {
    if (own == name) return tensor;
    names.push_back(own);
  }
  throw ShapeError("model: the input has no field {}, only {}", name, fmt::join(names, ", "));
}

Tensor Model::ranked_predictions(const ModelInput& input, int64_t /*most*/,
                                 LikelyClasses& likely) const {
  likely = {};
  return predictions(input);
}

}  // namespace ssa
