#include "ssa/core/remove_all.h"

#include <cerrno>
#include <memory>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ssa {

namespace {

std::error_code last_error() { return {errno, std::generic_category()}; }

/// The names in a folder.
std::error_code list(const std::string& folder, std::vector<std::string>& names) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(folder.c_str()));
  if (!dir) return last_error();
  errno = 0;  // readdir() sets it only where it fails
  while (const dirent* entry = ::readdir(dir.get())) {
    names.emplace_back(entry->d_name);
    if (names.back() == "." || names.back() == "..") names.pop_back();
    errno = 0;
  }
  return last_error();
}

}  // namespace

std::error_code remove_all(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? std::error_code() : last_error();
  }
  const bool folder = S_ISDIR(status.st_mode);
  if (folder) {
    std::vector<std::string> names;
    if (const std::error_code error = list(path, names)) return error;
    for (const std::string& name : names) {
      if (const std::error_code error = remove_all(path + "/" + name)) return error;
    }
  }
  const int result = ::unlinkat(AT_FDCWD, path.c_str(), folder ? AT_REMOVEDIR : 0);
  return result == 0 || errno == ENOENT ? std::error_code() : last_error();
}

}  // namespace ssa
