#pragma once

#include <filesystem>
#include <string>

namespace ssa {

/// Resolves a data path as TokenDataset::open() says. Throws DataError, with the places looked at
/// and where possible the command that helps, if nothing is there.
std::filesystem::path find_data(const std::string& path);

/// `ssa-data prepare NAME --input INPUT --output OUTPUT` for a packed file, or a folder of texts.
std::string prepare_command(const std::filesystem::path& input,
                            const std::filesystem::path& output);

}  // namespace ssa
