#pragma once

// Which tensors of a file the parameters of a model are made of.

#include <string>
#include <vector>

#include "ssa/convert/layout.h"
#include "ssa/nn/parameters.h"
#include "ssa/storage/safetensors.h"

namespace ssa {

/// A tensor of the file that holds a parameter.
struct Stored {
  std::string name;  ///< in the file
  Placement place;
};

struct ParameterSource {
  Parameter parameter;
  std::vector<Stored> stored;  ///< the first is read, the others should equal it; empty: skipped
};

struct Matching {
  std::vector<ParameterSource> sources;  ///< in the order of the parameters
  std::vector<std::string> left_out;     ///< tensors of the file that are not read
};

/// Finds all parameters in the file. `skip` are patterns: parameters that stay as they are, and
/// tensors of the file that are left out. Throws CheckpointError that names every tensor that is
/// missing, unknown or of another shape, ConfigError for a pattern that matches nothing.
Matching match(const SafetensorsFile& file, const Layout& layout,
               const std::vector<Parameter>& parameters, const Config& config,
               const std::vector<std::string>& skip);

}  // namespace ssa
