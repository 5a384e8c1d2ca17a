#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

/// Where a value was written.
struct Origin {
  std::string source;  ///< file name, or "--set key"
  int line = 0;        ///< from 1; 0: none to give
  int layer = 0;       ///< higher overrides lower: included files, the file, the command line
};

/// The problems of a config, collected so that the user sees all of them at once.
class Problems {
 public:
  /// `key` is the dotted key at fault, empty for the file as a whole.
  void add(const Origin& origin, std::string_view key, std::string_view message);
  bool empty() const { return lines_.empty(); }
  /// True once further problems are only counted.
  bool full() const;
  /// True if a problem was added for this very key.
  bool has(std::string_view key) const { return keys_.contains(key); }
  /// Throws the ConfigError that lists all problems, one a line, unless there are none.
  void throw_if_any() const;

 private:
  std::vector<std::string> lines_;
  size_t left_out_ = 0;
  std::set<std::string, std::less<>> keys_;
};

}  // namespace ssa
