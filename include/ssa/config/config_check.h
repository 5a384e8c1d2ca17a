#pragma once

#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "ssa/config/config.h"

namespace ssa {

struct Origin;
class Problems;

/// A config that is being loaded, as rules that tie several keys together see it. A rule reads
/// config() and reports what is wrong by fail(). Loading goes on, so that the user sees all
/// problems at once.
class ConfigCheck {
 public:
  using Keys = std::span<const std::string_view>;
  using KeyList = std::initializer_list<std::string_view>;
  /// `fields` are those of `config`. `origins`: where each key was set. `file`: what is named where
  /// no key of a broken rule was set.
  ConfigCheck(const Config& config, const FieldList& fields,
              const std::map<std::string, Origin, std::less<>>& origins, std::string_view file,
              Problems& problems)
      : config_(config), fields_(fields), origins_(origins), file_(file), problems_(problems) {}

  const Config& config() const { return config_; }
  /// False if the task lacks one of these keys, or if one has a problem already. A rule about them
  /// then says nothing.
  bool usable(Keys keys) const;
  bool usable(KeyList keys) const { return usable(Keys(keys.begin(), keys.size())); }
  /// Reports a broken rule. It is put down to the key that was set last: by the command line
  /// before the file, by the file before what it includes. Of keys set together it is the first.
  void fail(Keys keys, const std::string& message);
  void fail(KeyList keys, const std::string& message) {
    fail(Keys(keys.begin(), keys.size()), message);
  }
  /// "ssa.windows 5"
  std::string quoted(std::string_view key) const;

 private:
  const Config& config_;
  const FieldList& fields_;
  const std::map<std::string, Origin, std::less<>>& origins_;
  std::string file_;
  Problems& problems_;
};

}  // namespace ssa
