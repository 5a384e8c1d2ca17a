#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/data/prepare.h"

#include "text_source.h"

namespace ssa {

/// Throws ConfigError for options that make no sense, DataError for inputs that do not exist.
void check_options(const PrepareOptions& options);
/// Size of a file in bytes. Throws DataError if it is unknown.
int64_t file_size(const std::string& path);
/// Of the files that hold the texts, together.
int64_t size_of_files(const std::vector<TextSource>& sources);
/// One line per name, for the first few names.
std::string join(const std::vector<std::string>& names);
/// Throws DataError if the folder is a prepared data set.
void refuse_prepared(const std::string& folder);

/// The file of `enwik8`, and the member of an archive. Calls `note` with each choice.
TextSource settle_enwik8(const PrepareOptions& options);

}  // namespace ssa
