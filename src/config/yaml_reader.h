#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problems.h"

namespace ssa {

struct YamlNode;
/// Shared, because an alias stands for the very node that its anchor names.
using YamlNodePtr = std::shared_ptr<const YamlNode>;

/// A YAML value with the line it began on.
struct YamlNode {
  enum class Kind { null, scalar, list, map };
  struct Entry {
    std::string key;
    int line = 0;
    YamlNodePtr value;
  };

  Kind kind = Kind::null;
  int line = 0;
  std::string text;                ///< scalar
  bool quoted = false;             ///< scalar: '…', "…", | or >
  std::vector<YamlNodePtr> items;  ///< list
  std::vector<Entry> entries;      ///< map, in file order, keys unique

  size_t nodes = 1;   ///< in the whole subtree, aliases written out
  size_t height = 1;  ///< levels of the subtree, aliases written out
};

inline constexpr size_t kMaxYamlDepth = 32;
inline constexpr size_t kMaxYamlNodes = 100'000;
inline constexpr size_t kMaxYamlBytes = 1 << 20;

/// Parses one YAML document. What is wrong goes to `problems`; null if nothing could be read.
/// An empty document is a node of kind null. Never walks more than kMaxYamlNodes nodes, however
/// the text nests or repeats them by aliases.
/// `source`: what messages call the text; `numbered`: whether they give its lines.
YamlNodePtr read_yaml(const std::string& text, const std::string& source, bool numbered,
                      Problems& problems);

/// What `node` is, for messages: "a list", "a map", "nothing", "'text'".
std::string describe(const YamlNode& node);

}  // namespace ssa
