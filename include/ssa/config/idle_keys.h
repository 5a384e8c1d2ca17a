#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A key that changes nothing, because of another one.
struct IdleKey {
  std::string key;
  std::string value;
  std::string reason;  ///< "ssa.kind is none", as the end of a sentence
};

/// The keys of the config's task that were given another value than the default, and that change
/// nothing beside the others.
std::vector<IdleKey> idle_keys(const Config& config);

/// Whether a key changes anything in this config.
bool has_effect(const Config& config, std::string_view key);

}  // namespace ssa
