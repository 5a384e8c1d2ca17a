#include "ssa/models/activation.h"

namespace ssa {

Activation to_activation(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::gelu:
      return Activation::gelu;
    case ActivationKind::gelu_tanh:
      return Activation::gelu_tanh;
    case ActivationKind::relu:
      return Activation::relu;
    case ActivationKind::elu:
      return Activation::elu;
  }
  return Activation::gelu;
}

}  // namespace ssa
