#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ssa {

/// The whole file. Throws DataError.
std::string read_text(const std::filesystem::path& path);
/// Whether the file exists. Throws DataError if the file system does not say.
bool is_there(const std::filesystem::path& path);
/// Throws DataError unless the file exists and has this size in bytes.
void check_file(const std::filesystem::path& path, int64_t expected);

}  // namespace ssa
