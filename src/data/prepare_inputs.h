#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/data/prepare.h"

namespace ssa {

/// One file to read, and which of its members to take.
struct PrepareInput {
  std::string path;
  std::string only_member;  ///< empty: all
};

/// Throws ConfigError for options that make no sense, DataError for inputs that do not exist.
void check_options(const PrepareOptions& options);
/// Size of a file in bytes. Throws DataError if it is unknown.
int64_t file_size(const std::string& path);
/// One line per name, for the first few names.
std::string join(const std::vector<std::string>& names);
/// Throws DataError if the folder is a prepared data set.
void refuse_prepared(const std::string& folder);

/// Decides which files and members are read. Calls `note` with each choice.
std::vector<PrepareInput> settle_inputs(const PrepareOptions& options);

}  // namespace ssa
