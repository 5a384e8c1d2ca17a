#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// The text of a file, or why it cannot be read.
struct FileText {
  std::optional<std::string> text;
  std::string error;
};
using ReadFile = std::function<FileText(const std::filesystem::path&)>;

/// load_config(), with the config and all files that it includes read by `read`. For tests whose
/// configs may include any path.
Config load_config_from(const ReadFile& read, const std::string& path,
                        const std::vector<std::string>& overrides = {},
                        const ConfigRules& rules = {});

}  // namespace ssa
