#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/core/shape.h"

namespace ssa {

/// Where a parameter of this engine lies in a file of another program. Both are taken as matrices,
/// with their first axis as rows and all others as columns. Element (r, c) of the parameter is
/// element (rows[r], columns[c]) of the tensor.
struct Placement {
  std::string tensor;                 ///< its name in the file
  Shape shape;                        ///< of the whole tensor
  std::vector<int64_t> rows = {};     ///< empty: the same as in the parameter
  std::vector<int64_t> columns = {};  ///< empty: the same as in the parameter
};

/// A tensor of one number that the other program wants beside the weights, such as the version of
/// its format.
struct Constant {
  std::string tensor;
  float value = 0;
};

/// How a program names the weights of a model, and in which order their elements lie.
struct Layout {
  std::string_view name;   ///< for --layout
  std::string_view about;  ///< one line for `ssa-convert list`
  TaskSet tasks = TaskSet::all();

  /// The places of a parameter, by its name and shape. Import reads the first one. The others hold
  /// the same numbers: weights that are tied, which some files store twice.
  std::function<std::vector<Placement>(const std::string& name, const Shape& shape,
                                       const Config& config)>
      places;
  /// The name that the program gives a tensor today. `all` are the names in the file, which an
  /// older version may have written.
  std::function<std::string(const std::string& name, const std::set<std::string>& all)> todays_name;
  std::function<std::vector<Constant>(const Config& config)> constants;
  /// Patterns of tensors that are no weights, and are left out by import.
  std::vector<std::string_view> not_weights = {};
  /// The parameters that are tables of position biases, which import resizes to another window.
  std::string_view position_tables = {};
  /// The words that the first rows of the embedding stand for, where the program fixes them.
  std::vector<std::string_view> first_words = {};
};

const std::vector<Layout>& layouts();
/// Throws ConfigError for an unknown name, and for a task that the layout is not for.
const Layout& layout_for(std::string_view name, TaskKind task);

/// Whether a name matches a pattern, in which * stands for any characters.
bool matches(std::string_view pattern, const std::string& name);

}  // namespace ssa
