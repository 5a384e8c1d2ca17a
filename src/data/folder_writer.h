#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ssa {

/// Makes a folder of files that appears under its name complete or not at all. It is written as
/// `target.partial` beside the target, synced to the disk and renamed by commit(); without
/// commit() the destructor removes it. What a killed process left is cleared by the next one.
///
/// Every function throws DataError with the path and the system's reason.
class FolderWriter {
 public:
  /// `replaceable` names the files that a folder standing there may hold to be replaced; a folder
  /// with any other file is refused at once. Refuses as well while another process writes there.
  FolderWriter(const std::filesystem::path& target, std::span<const std::string_view> replaceable);
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;

  /// Starts a file; the one before it is complete then.
  void start_file(std::string_view name);
  void write(std::span<const uint8_t> bytes);
  void write(std::string_view text) {
    write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  /// Writes over what the file holds at `offset`.
  void write_at(int64_t offset, std::span<const uint8_t> bytes);
  void commit();

 private:
  void finish_file();

  std::filesystem::path target_;
  std::filesystem::path partial_;
  int folder_ = -1;  // descriptor of partial_, holds the lock
  int file_ = -1;
  std::filesystem::path file_path_;
  bool committed_ = false;
};

}  // namespace ssa
