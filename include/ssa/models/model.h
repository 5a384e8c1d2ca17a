#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"
#include "ssa/nn/layers.h"

namespace ssa {

/// A batch on the device, and the plans of this forward pass.
struct ModelInput {
  int64_t examples = 0;
  std::vector<std::pair<std::string, Tensor>> fields;  ///< as in Batch
  std::vector<PlanTensors> plans;                      ///< one per layer

  /// Throws ShapeError, naming the existing fields, if there is none of this name.
  const Tensor& field(std::string_view name) const;
};

/// A class that a term may turn out to be, such as a token, and how likely the model finds it.
struct LikelyClass {
  int32_t number = 0;
  float probability = 0;
};

/// The likeliest classes of each term of a batch. Terms without a target are left out.
struct LikelyClasses {
  int64_t per_term = 0;          ///< K; 0: the model does not tell
  std::vector<LikelyClass> all;  ///< (terms, K), of each term by number
};

/// A network with its parameters, as training and evaluation see it.
class Model {
 public:
  virtual ~Model() = default;
  /// The loss of each term of each example (token, image, graph), in nats or the target's unit:
  /// (terms) wide(data).
  virtual Variable losses(const ModelInput& input, const nn::Context& context) const = 0;
  /// The predictions that an evaluation scores, equally many numbers per example: f32 or f64. No
  /// gradient.
  virtual Tensor predictions(const ModelInput& input) const = 0;
  /// predictions(), and in `likely` the `most` likeliest classes of each term, or all classes if
  /// there are fewer. By default there are none.
  virtual Tensor ranked_predictions(const ModelInput& input, int64_t most,
                                    LikelyClasses& likely) const;
  /// Whether the model reads this field in host memory.
  virtual bool reads_on_host(std::string_view /*field*/) const { return false; }
  /// Whether the shapes inside a step follow from the shapes of its input alone, so that it can be
  /// captured and replayed (Backend::record).
  virtual bool has_fixed_shapes() const { return true; }
};

}  // namespace ssa
