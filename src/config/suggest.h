#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include "ssa/config/field.h"

namespace ssa {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment distance). More than `most` of them are not counted to the end: the result is
/// then some number above it, and found sooner.
size_t edit_distance(std::string_view a, std::string_view b,
                     size_t most = std::numeric_limits<size_t>::max());

/// The message for the unknown key `path`. It names the key that was probably meant: the nearest in
/// its section, or a closer one elsewhere. If there is none, it lists the section's keys.
std::string unknown_key_message(const FieldList& fields, std::string_view path);

}  // namespace ssa
