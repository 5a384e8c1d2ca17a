#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A key with the values that two configs have for it.
struct ConfigDifference {
  std::string key;
  std::string there;  ///< in the config that was there before
  std::string now;

  bool operator==(const ConfigDifference&) const = default;
};

/// "key: there …, now …".
std::string to_text(const ConfigDifference& difference);

/// Every key whose value differs, in file order. Where the tasks differ, of the keys that both
/// have.
std::vector<ConfigDifference> config_differences(const Config& there, const Config& now);

/// The value of a key as a config file has it; nothing if the config's task does not have the key.
std::optional<std::string> value_of_key(const Config& config, std::string_view key);

/// Whether a key says how a run is logged, saved, fed or spread over a machine. It changes neither
/// the training, but for the order of its sums, nor how the model is scored at the end.
bool is_bookkeeping(std::string_view key);

/// The config with each key that `which` picks at its default: two configs that are then equal
/// differ in such keys only.
Config with_defaults(Config config, const std::function<bool(std::string_view key)>& which);

/// Whether weights trained with one value of the key mean something else with another: they may
/// still load, but the model then computes another function.
bool changes_function(std::string_view key);

}  // namespace ssa
