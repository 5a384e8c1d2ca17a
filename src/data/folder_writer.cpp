#include "folder_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/file.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/core/remove_all.h"

#include "list_folder.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(std::string_view what, const fs::path& path, int error) {
  throw DataError("cannot {} '{}': {}", what, path.string(), std::strerror(error));
}

/// "out/enwik8/" and "out/enwik8" are the same folder; ".partial" is appended to the name.
fs::path without_trailing_slash(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

template <class Patterns>
bool matches(const fs::path& path, const Patterns& patterns) {
  const std::string name = path.filename().string();
  return std::ranges::any_of(patterns, [&](const auto& pattern) {
    return ::fnmatch(std::string(pattern).c_str(), name.c_str(), 0) == 0;
  });
}

/// Removes what is in a folder, but for files of these patterns.
template <class Patterns>
void clear_folder(const fs::path& folder, const Patterns& kept, std::error_code& error) {
  for (const fs::path& entry : list_folder(folder, error)) {
    if (error) return;
    if (!matches(entry, kept)) error = remove_all(entry.string());
  }
}

void check_replaceable(const fs::path& target, std::span<const std::string_view> replaceable) {
  std::error_code error;
  const auto status = fs::symlink_status(target, error);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    throw DataError("output '{}' exists and is not a folder. Give another --output.",
                    target.string());
  }
  for (const fs::path& entry : list_folder(target, error)) {
    if (!matches(entry, replaceable)) {
      throw DataError(
          "output '{}' is not empty and not a prepared data set (it holds '{}'). Give another "
          "--output, or remove it first.",
          target.string(), entry.filename().string());
    }
  }
  if (error) fail("list", target, error.value());
}

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", folder, errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some file systems cannot sync folders, and return EINVAL.
  if (result != 0 && error != EINVAL) fail("sync", folder, error);
}

/// Opens and locks the folder to write into.
int open_locked(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("make folder", folder, error.value());
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", folder, errno);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor);
    if (reason == EWOULDBLOCK) {
      throw DataError("another process is preparing this data set now ('{}' is locked)",
                      folder.string());
    }
    fail("lock", folder, reason);
  }
  return descriptor;
}

}  // namespace

FolderWriter::FolderWriter(const fs::path& target, std::span<const std::string_view> replaceable,
                           std::span<const std::string_view> continued)
    : target_(without_trailing_slash(target)),
      partial_(target_),
      continued_(continued.begin(), continued.end()) {
  check_replaceable(target_, replaceable);
  partial_ += ".partial";
  folder_ = open_locked(partial_);
  std::error_code error;
  clear_folder(partial_, continued_, error);  // what a killed process left
  if (!error) return;
  ::close(folder_);
  fail("clear", partial_, error.value());
}

FolderWriter::~FolderWriter() {
  if (file_ >= 0) ::close(file_);
  if (!committed_) {
    std::error_code ignored;  // the earlier error is the one to report
    clear_folder(partial_, continued_, ignored);
    fs::remove(partial_, ignored);  // fails if files stay
  }
  ::close(folder_);
}

void FolderWriter::open_file(std::string_view name, int flags) {
  finish_file();
  file_path_ = partial_ / name;
  file_ = ::open(file_path_.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666);
  if (file_ < 0) fail("create", file_path_, errno);
}

void FolderWriter::start_file(std::string_view name) { open_file(name, O_CREAT | O_EXCL); }

void FolderWriter::continue_file(std::string_view name, int64_t size) {
  open_file(name, 0);
  if (::ftruncate(file_, size) != 0 || ::lseek(file_, size, SEEK_SET) != size) {
    fail("continue", file_path_, errno);
  }
}

void FolderWriter::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", file_path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void FolderWriter::write_at(int64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file_, bytes.data(), bytes.size(), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", file_path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += done;
  }
}

void FolderWriter::sync() {
  if (::fsync(file_) != 0) fail("sync", file_path_, errno);
}

void FolderWriter::remove_file(std::string_view name) {
  std::error_code error;
  fs::remove(partial_ / name, error);
  if (error) fail("remove", partial_ / name, error.value());
}

void FolderWriter::finish_file() {
  if (file_ < 0) return;
  sync();
  // Errors of delayed writes may show up only here.
  if (::close(std::exchange(file_, -1)) != 0) fail("close", file_path_, errno);
}

void FolderWriter::commit() {
  finish_file();
  sync_folder(partial_);
  std::error_code error;
  if (fs::is_directory(target_, error) && !fs::is_empty(target_, error)) {
    // Swaps the old folder with the new one, so that the name always leads to a complete folder.
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
      committed_ = true;
      remove_all(partial_.string());  // what is left over is the old one
      sync_folder(target_.parent_path());
      return;
    }
    if (errno != EINVAL && errno != ENOSYS) fail("replace", target_, errno);
    // This file system cannot swap: remove the old folder first. For a moment there is none.
    error = remove_all(target_.string());
    if (error) fail("remove", target_, error.value());
  }
  if (::rename(partial_.c_str(), target_.c_str()) != 0) fail("rename to", target_, errno);
  committed_ = true;
  sync_folder(target_.parent_path());
}

}  // namespace ssa
