#pragma once

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

namespace ssa {

/// The sorted entries of a folder. If it cannot be read (to its end), `error` says why. A range-for
/// over a directory_iterator would throw an exception without an exit code of the program.
inline std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder,
                                                      std::error_code& error) {
  std::vector<std::filesystem::path> entries;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    entries.push_back(entry->path());
  }
  std::ranges::sort(entries);
  return entries;
}

}  // namespace ssa
