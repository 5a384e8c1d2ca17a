#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

/// Makes a folder that appears under its name complete or not at all. It is written as
/// `target.partial` beside the target; commit() syncs it to the disk and renames it. Without
/// commit() the destructor removes it. The next writer removes what a killed process left. Files
/// that can be continued are the exception: they stay in both cases.
///
/// Every function throws DataError with the path and the system's reason.
class FolderWriter {
 public:
  /// An existing folder is replaced only if it holds no files but those in `replaceable`; otherwise
  /// it is refused at once. So is a folder that another process writes now. Files in `continued`
  /// stay if the folder is not completed. Both are patterns of fnmatch().
  FolderWriter(const std::filesystem::path& target, std::span<const std::string_view> replaceable,
               std::span<const std::string_view> continued = {});
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;

  /// Starts a file, and ends the one before it.
  void start_file(std::string_view name);
  /// The same for a file that is there: its first `size` bytes stay, and it goes on behind them.
  void continue_file(std::string_view name, int64_t size);
  void write(std::span<const uint8_t> bytes);
  void write(std::string_view text) {
    write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  /// Overwrites the file at `offset`.
  void write_at(int64_t offset, std::span<const uint8_t> bytes);
  /// Syncs the file to the disk.
  void sync();
  void remove_file(std::string_view name);
  void commit();
  /// The folder that is written.
  const std::filesystem::path& partial() const { return partial_; }

 private:
  void open_file(std::string_view name, int flags);
  void finish_file();

  std::filesystem::path target_;
  std::filesystem::path partial_;
  std::vector<std::string> continued_;
  int folder_ = -1;  // descriptor of partial_, holds the lock
  int file_ = -1;
  std::filesystem::path file_path_;
  bool committed_ = false;
};

}  // namespace ssa
