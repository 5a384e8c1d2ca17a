#pragma once

#include <string>
#include <system_error>

namespace ssa {

/// Removes a file, or a folder with everything in it; nothing that links lead to. By the C library:
/// where std::filesystem::remove_all() has no memory, it ends the program. Returns the first error;
/// it is none that the path does not exist.
std::error_code remove_all(const std::string& path);

}  // namespace ssa
