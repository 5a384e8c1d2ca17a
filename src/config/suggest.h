#pragma once

#include <string>
#include <string_view>

#include "ssa/config/field.h"

namespace ssa {

/// The message for the unknown key `path`. It names the key that was probably meant: the nearest in
/// its section, or a closer one elsewhere. If there is none, it lists the section's keys.
std::string unknown_key_message(const FieldList& fields, std::string_view path);

}  // namespace ssa
