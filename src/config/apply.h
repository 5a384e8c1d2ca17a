#pragma once

#include <map>
#include <string>
#include <string_view>

#include "ssa/config/field.h"

#include "config/problems.h"
#include "config/yaml_reader.h"

namespace ssa {

/// Where each key or section was last set. Keys left at their defaults are absent.
using Origins = std::map<std::string, Origin, std::less<>>;

/// Writes values into the members of a Config, one source after the other, so that later sources
/// win key by key.
class Applier {
 public:
  Applier(const FieldList& fields, Problems& problems) : fields_(fields), problems_(problems) {}

  /// A whole file, whose root is a map. `include` is left to the caller.
  void apply_file(const YamlNode& root, const std::string& source);
  /// "key=value", the value in YAML.
  void apply_override(const std::string& text);

  const Origins& origins() const { return origins_; }

 private:
  void apply_members(std::string_view section, const YamlNode& map, const Origin& origin);
  void apply_value(const Field& field, const YamlNode& node, const Origin& origin);
  void apply_section(const Field& section, const YamlNode& node, const Origin& origin);
  void complain_unknown(const std::string& path, const Origin& origin);

  const FieldList& fields_;
  Problems& problems_;
  Origins origins_;
  int layer_ = 0;
};

}  // namespace ssa
