// A library to preload (LD_PRELOAD): the n-th file call of a whole program goes wrong. Calls are
// counted that name a path under one folder or use a descriptor of such a file.
//
//   FILE_CALLS_UNDER=folder  absolute path of the folder
//   FAIL_FILE_CALL=n         the call that goes wrong; 0: only count
//   FAIL_FILE_CALL_HOW=      io:    fails with EIO, as with a bad disk
//                            full:  from there on whatever takes space fails with ENOSPC, the first
//                                   of these calls after half of its data
//                            short: reads or writes half of its data
//                            kill:  the process is killed, in the midst of a read or a write
//   FILE_CALLS_FILE=path     writes there at the end how many calls were counted: all of them (io
//                            and kill), those that take space (full), reads and writes (short)
//
// What a library calls inside the C library is not seen: of stdio, these are the writes that a
// fwrite or a fflush leads to. Those count as one call.

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

enum class How { count, io, full, short_transfer, kill };
enum class Verdict { succeed, fail, half, die };
/// What a call does, as far as it decides how the call can go wrong.
struct CallKind {
  bool transfers;
  bool takes_space;
};
constexpr CallKind kPlain{false, false}, kRead{true, false}, kWrite{true, true},
    kMakes{false, true};  // a file, a folder, or what stdio has buffered

How how = How::count;
long fail_at = 0;
const char* folder = nullptr;
const char* report = nullptr;
std::atomic<bool> armed{false};
std::atomic<long> all_calls{0}, calls_for_space{0}, transfers{0};
std::array<std::atomic<bool>, 4096> opened_under;  // by descriptor

/// The function of this name in the C library.
template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

How how_of(const char* text) {
  const std::string_view word = text ? text : "";
  if (word == "io") return How::io;
  if (word == "full") return How::full;
  if (word == "short") return How::short_transfer;
  return word == "kill" ? How::kill : How::count;
}

void write_report() {
  if (!report) return;
  armed = false;
  if (std::FILE* file = std::fopen(report, "w")) {
    std::fprintf(file, "%ld %ld %ld\n", all_calls.load(), calls_for_space.load(), transfers.load());
    std::fclose(file);
  }
}

__attribute__((constructor)) void arm() {
  folder = std::getenv("FILE_CALLS_UNDER");
  if (!folder) return;
  report = std::getenv("FILE_CALLS_FILE");
  how = how_of(std::getenv("FAIL_FILE_CALL_HOW"));
  if (const char* n = std::getenv("FAIL_FILE_CALL")) fail_at = std::atol(n);
  std::atexit(write_report);
  armed = true;
}

bool is_tracked(int descriptor) {
  return descriptor >= 0 && descriptor < static_cast<int>(opened_under.size()) &&
         opened_under[static_cast<size_t>(descriptor)];
}

void track(int descriptor, bool under) {
  if (descriptor < 0 || descriptor >= static_cast<int>(opened_under.size())) return;
  opened_under[static_cast<size_t>(descriptor)] = under;
}

/// Whether a path, relative to a folder's descriptor perhaps, is the folder or in it.
bool is_under(const char* path, int base = AT_FDCWD) {
  if (!armed || !path) return false;
  if (path[0] != '/') return is_tracked(base);
  const size_t length = std::strlen(folder);
  return std::strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/// Counts a call, and says what becomes of it.
Verdict verdict(CallKind kind) {
  const long n = ++all_calls;
  const long of_space = kind.takes_space ? ++calls_for_space : 0;
  const long of_transfer = kind.transfers ? ++transfers : 0;
  if (fail_at <= 0) return Verdict::succeed;
  switch (how) {
    case How::io:
      return n == fail_at ? Verdict::fail : Verdict::succeed;
    case How::full:
      if (of_space < fail_at) return Verdict::succeed;
      return of_space == fail_at && kind.transfers ? Verdict::half : Verdict::fail;
    case How::short_transfer:
      return of_transfer == fail_at ? Verdict::half : Verdict::succeed;
    case How::kill:
      return n == fail_at ? Verdict::die : Verdict::succeed;
    case How::count:
      break;
  }
  return Verdict::succeed;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  while (true) ::pause();
}

/// Whether a call that transfers no data fails; errno says why.
bool fails(bool under, CallKind kind = kPlain) {
  if (!armed || !under) return false;
  const Verdict what = verdict(kind);
  if (what == Verdict::die) die();
  if (what == Verdict::fail) errno = how == How::full ? ENOSPC : EIO;
  return what == Verdict::fail;
}

/// Reads or writes through move(bytes), as far as the call goes.
template <class Move>
ssize_t transfer(int descriptor, size_t bytes, CallKind kind, Move&& move) {
  if (!armed || !is_tracked(descriptor)) return move(bytes);
  switch (verdict(kind)) {
    case Verdict::succeed:
      return move(bytes);
    case Verdict::half:
      return move((bytes + 1) / 2);
    case Verdict::die:
      move(bytes / 2);
      die();
    case Verdict::fail:
      break;
  }
  errno = how == How::full ? ENOSPC : EIO;
  return -1;
}

/// Opens with open(), unless the call fails, and remembers whether the file is under the folder.
template <class Open>
int opened(bool under, int flags, Open&& open) {
  if (fails(under, (flags & O_CREAT) != 0 ? kMakes : kPlain)) return -1;
  const int descriptor = open();
  track(descriptor, under);
  return descriptor;
}

template <class Open>
std::FILE* opened_stream(const char* path, const char* mode, Open&& open) {
  if (fails(is_under(path), mode[0] == 'r' ? kPlain : kMakes)) return nullptr;
  std::FILE* file = open();
  if (file) track(::fileno(file), is_under(path));
  return file;
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

// Calls of the C library. `NEXT(name)` is the one that this one stands in for.
#define NEXT(name) static const auto next = real<decltype(name)>(#name)

extern "C" {

// ---- opening and closing ------------------------------------------------------------------------

int open(const char* path, int flags, ...) {
  NEXT(open);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return opened(is_under(path), flags, [&] { return next(path, flags, mode); });
}
int openat(int base, const char* path, int flags, ...) {
  NEXT(openat);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return opened(is_under(path, base), flags, [&] { return next(base, path, flags, mode); });
}
std::FILE* fopen(const char* path, const char* mode) {
  NEXT(fopen);
  return opened_stream(path, mode, [&] { return next(path, mode); });
}
std::FILE* fopen64(const char* path, const char* mode) {
  NEXT(fopen64);
  return opened_stream(path, mode, [&] { return next(path, mode); });
}
/// The descriptor is closed in any case, as on Linux.
int close(int descriptor) {
  NEXT(close);
  const bool failed = fails(is_tracked(descriptor));
  const int error = errno;
  track(descriptor, false);
  const int result = next(descriptor);
  if (!failed) return result;
  errno = error;
  return -1;
}
int fclose(std::FILE* file) {
  NEXT(fclose);
  const int descriptor = ::fileno(file);
  const bool failed = fails(is_tracked(descriptor));
  track(descriptor, false);
  const int result = next(file);
  return failed ? EOF : result;
}
DIR* opendir(const char* path) {
  NEXT(opendir);
  if (fails(is_under(path))) return nullptr;
  DIR* dir = next(path);
  if (dir) track(::dirfd(dir), is_under(path));
  return dir;
}
int closedir(DIR* dir) {
  NEXT(closedir);
  track(::dirfd(dir), false);
  return next(dir);
}

// ---- reading and writing ------------------------------------------------------------------------

ssize_t read(int descriptor, void* data, size_t bytes) {
  NEXT(read);
  return transfer(descriptor, bytes, kRead,
                  [&](size_t some) { return next(descriptor, data, some); });
}
ssize_t pread(int descriptor, void* data, size_t bytes, off_t offset) {
  NEXT(pread);
  return transfer(descriptor, bytes, kRead,
                  [&](size_t some) { return next(descriptor, data, some, offset); });
}
ssize_t write(int descriptor, const void* data, size_t bytes) {
  NEXT(write);
  return transfer(descriptor, bytes, kWrite,
                  [&](size_t some) { return next(descriptor, data, some); });
}
ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  NEXT(pwrite);
  return transfer(descriptor, bytes, kWrite,
                  [&](size_t some) { return next(descriptor, data, some, offset); });
}
/// Half of its data are half of its first part.
ssize_t writev(int descriptor, const iovec* parts, int count) {
  NEXT(writev);
  const size_t bytes = count > 0 ? parts[0].iov_len : 0;
  return transfer(descriptor, bytes, kWrite, [&](size_t some) {
    if (some == bytes) return next(descriptor, parts, count);
    const iovec part{parts[0].iov_base, some};
    return next(descriptor, &part, 1);
  });
}
size_t fwrite(const void* data, size_t size, size_t count, std::FILE* file) {
  NEXT(fwrite);
  return fails(is_tracked(::fileno(file)), kMakes) ? 0 : next(data, size, count, file);
}
int fflush(std::FILE* file) {
  NEXT(fflush);
  return file && fails(is_tracked(::fileno(file)), kMakes) ? EOF : next(file);
}
dirent* readdir(DIR* dir) {
  NEXT(readdir);
  return fails(is_tracked(::dirfd(dir))) ? nullptr : next(dir);
}
int fsync(int descriptor) {
  NEXT(fsync);
  return fails(is_tracked(descriptor)) ? -1 : next(descriptor);
}
int fdatasync(int descriptor) {
  NEXT(fdatasync);
  return fails(is_tracked(descriptor)) ? -1 : next(descriptor);
}
int ftruncate(int descriptor, off_t bytes) noexcept {
  NEXT(ftruncate);
  return fails(is_tracked(descriptor)) ? -1 : next(descriptor, bytes);
}
int flock(int descriptor, int operation) noexcept {
  NEXT(flock);
  return fails(is_tracked(descriptor)) ? -1 : next(descriptor, operation);
}

// ---- names --------------------------------------------------------------------------------------

int mkdir(const char* path, mode_t mode) noexcept {
  NEXT(mkdir);
  return fails(is_under(path), kMakes) ? -1 : next(path, mode);
}
int rename(const char* from, const char* to) noexcept {
  NEXT(rename);
  return fails(is_under(to)) ? -1 : next(from, to);
}
int remove(const char* path) noexcept {
  NEXT(remove);
  return fails(is_under(path)) ? -1 : next(path);
}
int unlinkat(int base, const char* path, int flags) noexcept {
  NEXT(unlinkat);
  return fails(is_under(path, base)) ? -1 : next(base, path, flags);
}
int stat(const char* path, struct stat* status) noexcept {
  NEXT(stat);
  return fails(is_under(path)) ? -1 : next(path, status);
}
int lstat(const char* path, struct stat* status) noexcept {
  NEXT(lstat);
  return fails(is_under(path)) ? -1 : next(path, status);
}
int fstat(int descriptor, struct stat* status) noexcept {
  NEXT(fstat);
  return fails(is_tracked(descriptor)) ? -1 : next(descriptor, status);
}
ssize_t readlink(const char* path, char* text, size_t bytes) noexcept {
  NEXT(readlink);
  return fails(is_under(path)) ? -1 : next(path, text, bytes);
}

/// exchange_paths() has no other way to the kernel.
long syscall(long number, ...) noexcept {
  NEXT(syscall);
  std::array<long, 6> words{};
  va_list arguments;
  va_start(arguments, number);
  for (long& word : words) word = va_arg(arguments, long);
  va_end(arguments);
  const char* to = nullptr;
  std::memcpy(&to, &words[3], sizeof(to));
  if (number == SYS_renameat2 && fails(is_under(to))) return -1;
  return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // extern "C"
