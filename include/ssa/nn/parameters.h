#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/autograd/variable.h"
#include "ssa/core/philox.h"

namespace ssa {

/// The distribution of a parameter's initial values.
struct Init {
  enum class Kind { zeros, ones, normal, uniform } kind = Kind::zeros;
  double spread = 0;  ///< standard deviation, or half width of the uniform range

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double standard_deviation) { return {Kind::normal, standard_deviation}; }
  static Init uniform(double half_width) { return {Kind::uniform, half_width}; }
  /// Glorot & Bengio 2010: uniform in ±gain·√(6/(fan_in+fan_out)).
  static Init xavier_uniform(int64_t fan_in, int64_t fan_out, double gain = 1.0);
};

/// Which parameters weight decay applies to.
enum class Decay {
  matrices,  ///< the parameter decays if it has two axes or more: weights and embeddings, not norms
             ///< and biases
  never      ///< the parameter never decays, whatever its shape: tables of position biases
};

struct Parameter {
  std::string name;  ///< "blocks.0.attention.query.weight"
  Shape shape;
  Variable variable;  ///< undefined in a dry store
  bool decayed;       ///< weight decay applies
};

/// Owns a model's parameters in a fixed order, which optimizers, checkpoints and reports follow.
class ParameterStore {
 public:
  /// Initial values are a pure function of the seed and of the order of add().
  ParameterStore(Device device, DType dtype, uint64_t seed)
      : device_(device), dtype_(dtype), seed_(seed) {}
  /// A store that only counts: add() allocates nothing and returns undefined variables.
  static ParameterStore dry();

  Variable add(const std::string& name, const Shape& shape, const Init& init,
               Decay decay = Decay::matrices);
  const std::vector<Parameter>& all() const { return parameters_; }
  /// Number of scalars.
  int64_t count() const;
  /// Forgets all gradients but keeps their buffers.
  void zero_grad() const;
  /// Forgets all gradients and releases their buffers, so that backward makes them anew.
  void release_grad() const;
  /// Marks all parameters as written, so that packed copies are made again (Tensor::version).
  void mark_written() const;
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }

 private:
  Device device_;
  DType dtype_;
  uint64_t seed_;
  bool dry_ = false;
  std::vector<Parameter> parameters_;
};

}  // namespace ssa
