#include "ssa/storage/file_io.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/core/remove_all.h"

namespace ssa {

namespace {

constexpr size_t kReadChunk = size_t{1} << 20;    // stays in the cache while it is hashed
constexpr size_t kWriteChunk = size_t{64} << 20;  // Linux writes at most 2 GiB a call

FileFaultHook& fault_hook() {
  static FileFaultHook hook;
  return hook;
}

FileFault fault_at(FileOp op, const std::string& path) {
  return fault_hook() ? fault_hook()(op, path) : FileFault{};
}

/// What to do about a file that cannot be written.
std::string_view hint(int error, const std::string& path) {
  const bool in_checkpoint = path.find("/checkpoints/") != std::string::npos;
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return in_checkpoint ? "; free disk space, or lower train.keep_checkpoints"
                           : "; free disk space";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a folder that you may write to";
    case EISDIR:
      return "; a folder is in the file's place: move it away";
    default:
      return "";
  }
}

[[noreturn]] void fail_to_read(std::string_view what, const std::string& path, int error) {
  throw CheckpointError("cannot {} {}: {}", what, path,
                        std::error_code(error, std::generic_category()).message());
}

[[noreturn]] void fail(std::string_view what, const std::string& path, int error) {
  throw CheckpointError("cannot {} {}: {}{}", what, path,
                        std::error_code(error, std::generic_category()).message(),
                        hint(error, path));
}

/// Fails the operation if a test asked for that.
void inject(FileOp op, const std::string& path) {
  if (const FileFault fault = fault_at(op, path); fault.error) fail(name(op), path, fault.error);
}

template <class Call>
auto retry_interrupted(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

void close_quietly(int& descriptor) noexcept {
  if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

}  // namespace

std::string_view name(FileOp op) {
  constexpr std::array<std::string_view, 9> kNames = {
      "make directory", "open", "write", "sync", "close", "rename", "exchange", "remove", "lock"};
  return kNames.at(static_cast<size_t>(op));
}

void set_file_fault_hook(FileFaultHook hook) { fault_hook() = std::move(hook); }

namespace {

LockResult lock_descriptor(int descriptor, bool wait) {
  const int how = LOCK_EX | (wait ? 0 : LOCK_NB);
  if (retry_interrupted([&] { return ::flock(descriptor, how); }) == 0) return LockResult::held;
  return errno == EWOULDBLOCK ? LockResult::busy : LockResult::unavailable;
}

int open_to_write(const std::string& path, int more_flags) {
  const int descriptor = retry_interrupted(
      [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | more_flags, 0666); });
  if (descriptor < 0) fail("open", path, errno);
  return descriptor;
}

/// While one exists, no other process has one for the same file, which is made where it is missing.
/// Where there are no locks it keeps nobody out.
class Turn {
 public:
  explicit Turn(const std::string& path) {
    do {
      close_quietly(descriptor_);
      descriptor_ = open_to_write(path, 0);
    } while (lock_descriptor(descriptor_, /*wait=*/true) == LockResult::held && !leads_here(path));
  }
  ~Turn() { close_quietly(descriptor_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  /// Whoever had the turn before may have renamed the file.
  bool leads_here(const std::string& path) const {
    struct stat named {
    }, open{};
    return ::stat(path.c_str(), &named) == 0 && ::fstat(descriptor_, &open) == 0 &&
           named.st_ino == open.st_ino && named.st_dev == open.st_dev;
  }
  int descriptor_ = -1;
};

}  // namespace

LockResult lock_file(int descriptor, const std::string& path) {
  if (fault_at(FileOp::lock, path).error) return LockResult::unavailable;
  return lock_descriptor(descriptor, /*wait=*/false);
}

OutputFile::OutputFile(std::string path, Mode mode) : path_(std::move(path)) {
  inject(FileOp::open, path_);
  descriptor_ = open_to_write(path_, mode == Mode::append ? O_APPEND : O_TRUNC);
}

OutputFile::~OutputFile() { close_quietly(descriptor_); }

void OutputFile::write(const void* data, size_t bytes) {
  const auto* next = static_cast<const std::byte*>(data);
  size_t left = bytes;
  while (left > 0) {
    const FileFault fault = fault_at(FileOp::write, path_);
    if (fault.error && !fault.short_write) fail("write", path_, fault.error);
    size_t chunk = std::min(left, kWriteChunk);
    if (fault.short_write) chunk = (chunk + 1) / 2;
    const ssize_t done = retry_interrupted([&] { return ::write(descriptor_, next, chunk); });
    if (done < 0) fail("write", path_, errno);
    if (fault.error) fail("write", path_, fault.error);
    checksum_.update(next, static_cast<size_t>(done));
    next += done;
    left -= static_cast<size_t>(done);
    bytes_ += static_cast<uint64_t>(done);
  }
}

void OutputFile::sync() {
  inject(FileOp::sync, path_);
  if (retry_interrupted([&] { return ::fsync(descriptor_); }) < 0) fail("sync", path_, errno);
}

void OutputFile::close() {
  inject(FileOp::close, path_);
  // Linux closes the descriptor even where close() reports EINTR: never call it twice.
  if (::close(std::exchange(descriptor_, -1)) < 0 && errno != EINTR) fail("close", path_, errno);
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  // Non-blocking, so that a pipe put in a file's place cannot hang the program.
  descriptor_ =
      retry_interrupted([&] { return ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (descriptor_ < 0) fail_to_read("open", path_, errno);
  struct stat status {};
  if (::fstat(descriptor_, &status) < 0 || !S_ISREG(status.st_mode)) {
    close_quietly(descriptor_);
    throw CheckpointError("cannot read {}: it is not a regular file", path_);
  }
  bytes_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { close_quietly(descriptor_); }

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(other.bytes_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void InputFile::read(void* data, uint64_t bytes, uint64_t offset) const {
  auto* next = static_cast<std::byte*>(data);
  while (bytes > 0) {
    const ssize_t done = retry_interrupted([&] {
      return ::pread(descriptor_, next, std::min<uint64_t>(bytes, kWriteChunk),
                     static_cast<off_t>(offset));
    });
    if (done < 0) fail_to_read("read", path_, errno);
    if (done == 0) {
      throw CheckpointError("{} ends at byte {}, {} bytes early: it was truncated", path_, offset,
                            bytes);
    }
    next += done;
    offset += static_cast<uint64_t>(done);
    bytes -= static_cast<uint64_t>(done);
  }
}

std::string read_text_file(const std::string& path, uint64_t limit) {
  const InputFile file(path);
  if (file.bytes() > limit) {
    throw CheckpointError("{} has {} bytes; at most {} were expected", path, file.bytes(), limit);
  }
  std::string text(file.bytes(), '\0');
  file.read(text.data(), text.size(), 0);
  return text;
}

std::string checksum_of(const InputFile& file) {
  std::vector<std::byte> chunk(std::min<uint64_t>(file.bytes(), kReadChunk));
  Checksum checksum;
  for (uint64_t offset = 0; offset < file.bytes(); offset += chunk.size()) {
    const uint64_t bytes = std::min<uint64_t>(chunk.size(), file.bytes() - offset);
    file.read(chunk.data(), bytes, offset);
    checksum.update(chunk.data(), bytes);
  }
  return checksum.hex();
}

void make_directories(const std::string& path) {
  inject(FileOp::make_directory, path);
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail("make directory", path, error.value());
}

void sync_directory(const std::string& path) {
  inject(FileOp::sync, path);
  int descriptor =
      retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) fail("open directory", path, errno);
  const int result = retry_interrupted([&] { return ::fsync(descriptor); });
  const int error = errno;
  close_quietly(descriptor);
  // File systems that cannot sync a directory return EINVAL. They write entries in order anyway.
  if (result < 0 && error != EINVAL) fail("sync directory", path, error);
}

void rename_path(const std::string& from, const std::string& to) {
  inject(FileOp::rename, to);
  if (::rename(from.c_str(), to.c_str()) < 0) fail("rename to", to, errno);
}

bool exchange_paths(const std::string& a, const std::string& b) {
  const FileFault fault = fault_at(FileOp::exchange, b);
  const long result = fault.error ? -1L
                                  : ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD,
                                              b.c_str(), RENAME_EXCHANGE);
  if (result == 0) return true;
  const int error = fault.error ? fault.error : errno;
  if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP) return false;
  fail("exchange", b, error);
}

/// By the C library: where std::filesystem's iterator has no memory, it ends the program.
std::vector<std::string> list_directory(const std::string& path) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(path.c_str()));
  if (!dir) {
    if (errno == ENOENT) return {};
    fail_to_read("list directory", path, errno);
  }
  std::vector<std::string> names;
  errno = 0;  // readdir() sets it only where it fails
  while (const dirent* entry = ::readdir(dir.get())) {
    names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) fail_to_read("list directory", path, errno);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  std::sort(names.begin(), names.end());
  return names;
}

void remove_tree(const std::string& path) {
  inject(FileOp::remove, path);
  if (const std::error_code error = remove_all(path)) fail("remove", path, error.value());
}

bool path_exists(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  fail_to_read("look at", path, errno);
}

namespace {

/// The target of a link, if it exists; otherwise the path itself.
std::string without_links(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const std::filesystem::path target = std::filesystem::canonical(path, error);
  return error ? path : target.string();  // a broken link is replaced
}

}  // namespace

/// For what is no regular file there is no turn, and the target is empty.
struct FileReplacement::State {
  std::string target;
  std::optional<Turn> turn;
  std::optional<OutputFile> file;
};

FileReplacement::FileReplacement(const std::string& path) : state_(std::make_unique<State>()) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    state_->file.emplace(path, OutputFile::Mode::replace);
    return;
  }
  state_->target = without_links(path);
  const std::string partial = state_->target + ".partial";
  state_->turn.emplace(partial);
  state_->file.emplace(partial, OutputFile::Mode::replace);
}

FileReplacement::~FileReplacement() {
  if (state_->turn) ::unlink(state_->file->path().c_str());
}

OutputFile& FileReplacement::file() { return *state_->file; }

void FileReplacement::commit() {
  if (state_->target.empty()) {
    state_->file->close();  // not synced: devices and pipes refuse that
    return;
  }
  state_->file->sync();
  state_->file->close();
  rename_path(state_->file->path(), state_->target);
  state_->turn.reset();
  const std::string parent = std::filesystem::path(state_->target).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
}

void replace_file(const std::string& path, const std::function<void(OutputFile&)>& fill) {
  FileReplacement replacement(path);
  fill(replacement.file());
  replacement.commit();
}

void write_file_atomically(const std::string& path, std::string_view text) {
  replace_file(path, [&](OutputFile& file) { file.write(text); });
}

}  // namespace ssa
