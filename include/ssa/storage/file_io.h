#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/storage/checksum.h"

namespace ssa {

// A run writes all its files through these functions. They retry interrupted calls and short
// writes, and throw CheckpointError with the path and the system's reason. A test can make any call
// fail or stop the program there.

enum class FileOp { make_directory, open, write, sync, close, rename, exchange, remove, lock };
std::string_view name(FileOp op);

/// What a test makes happen instead of a file operation.
struct FileFault {
  int error = 0;             ///< errno to fail with; 0: no failure
  bool short_write = false;  ///< write only the first half of the bytes (then fail, if `error`)
};

/// Called before each file operation. Not thread safe: for tests only.
using FileFaultHook = std::function<FileFault(FileOp op, const std::string& path)>;
/// Installs a hook; an empty one removes it.
void set_file_fault_hook(FileFaultHook hook);

/// A file being written, with the size and the checksum of what was written so far.
class OutputFile {
 public:
  enum class Mode {
    replace,  ///< starts empty
    append    ///< every write goes to the end; size and checksum cover only what is added
  };
  OutputFile(std::string path, Mode mode);
  /// Closes and ignores errors. Call close() to get them.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Returns when the content is on the disk.
  void sync();
  void close();
  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  std::string checksum() const { return checksum_.hex(); }

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
  Checksum checksum_;
};

enum class LockResult {
  held,        ///< until the descriptor is closed
  busy,        ///< another process holds it
  unavailable  ///< the file system has no locks
};
/// Locks an open file against other processes, without waiting for them.
LockResult lock_file(int descriptor, const std::string& path);

/// A file opened for reading at any offset. It is not mapped, so a file that shrinks while it is
/// read causes an error, not a signal.
class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  /// Reads exactly `bytes` bytes. Throws CheckpointError if the file has fewer.
  void read(void* data, uint64_t bytes, uint64_t offset) const;
  const std::string& path() const { return path_; }
  /// Size when it was opened.
  uint64_t bytes() const { return bytes_; }

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
};

/// The content of a file. Throws CheckpointError if it has more than `limit` bytes.
std::string read_text_file(const std::string& path, uint64_t limit);
/// Checksum of a whole file.
std::string checksum_of(const InputFile& file);

/// Makes a directory and the missing ones above it.
void make_directories(const std::string& path);
/// Returns when the directory's entries (creations, renames) are on the disk.
void sync_directory(const std::string& path);
void rename_path(const std::string& from, const std::string& to);
/// Swaps two paths in one step. Returns false if the file system cannot.
bool exchange_paths(const std::string& a, const std::string& b);
/// Removes a file, or a directory with everything in it, if it exists.
void remove_tree(const std::string& path);
/// Names in a directory, sorted; none if it does not exist.
std::vector<std::string> list_directory(const std::string& path);
/// Whether the path exists; a broken link does. Throws CheckpointError if the file system does not
/// say, as for a path below a folder without search permission.
bool path_exists(const std::string& path);
/// A new content for a path: written into `path + ".partial"`, synced and renamed by commit().
/// Readers see the old content or the new one, never a part, and of several processes the last one
/// wins: the others wait at the constructor. A link stays one: the file that it leads to is
/// replaced. What is no regular file (a device, a pipe) is never renamed over, but written into.
class FileReplacement {
 public:
  explicit FileReplacement(const std::string& path);
  /// Without commit(), removes the partial file and leaves the path as it is.
  ~FileReplacement();
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;

  OutputFile& file();
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Lets `fill` write a FileReplacement of the path, and commits it.
void replace_file(const std::string& path, const std::function<void(OutputFile&)>& fill);
/// The same with a given content.
void write_file_atomically(const std::string& path, std::string_view text);

}  // namespace ssa
