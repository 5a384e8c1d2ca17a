#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "ssa/config/field.h"

namespace ssa {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment distance).
size_t edit_distance(std::string_view a, std::string_view b);

/// What is wrong with the unknown key `path` and which key was probably meant: the nearest of its
/// section, one elsewhere where that is closer, or else the list of the section's keys.
std::string unknown_key_message(const FieldList& fields, std::string_view path);

}  // namespace ssa
