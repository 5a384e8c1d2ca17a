#pragma once

#include <string>
#include <string_view>

namespace ssa {

// What data are called in logs, reports and sweeps.

/// The name of a prepared data set: "enwik8" of a published one, otherwise that of its folder,
/// since a name such as `bytes` in `ssa-data prepare bytes` says nothing about the data.
std::string name_of_prepared(std::string_view prepared_as, const std::string& folder);

/// The name that a config gives to its data, unless that is the name of a published data set and
/// the data are neither this one nor a part of it: then, and if the config gives none, the data's
/// own name.
std::string settled_name(const std::string& configured, const std::string& own);

}  // namespace ssa
