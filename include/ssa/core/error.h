#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace ssa {

/// What a program returns to the shell. docs/reference/exit-codes.md explains each to users.
enum class ExitCode : int {
  ok = 0,
  usage = 2,        ///< command line or config
  data = 3,         ///< missing, truncated or malformed data
  checkpoint = 4,   ///< checkpoint cannot be read or written
  diverged = 5,     ///< non-finite loss past the limit
  peer = 6,         ///< another rank failed or timed out
  interrupted = 75  ///< stopped by a signal after saving: requeue
};

/// Base of every error that a user can cause. The message says what went wrong, where, and what
/// to do about it; the exit code says which family it belongs to.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Wrong command line, config value, or shape that a config leads to. Exit code 2.
class ConfigError : public Error {
 public:
  template <class... Args>
  explicit ConfigError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::usage, fmt::format(format, std::forward<Args>(args)...)) {}
};

/// No more memory on the host or a device. Exit code 2.
class OutOfMemoryError : public Error {
 public:
  explicit OutOfMemoryError(const std::string& message) : Error(ExitCode::usage, message) {}
};

/// Missing, truncated or malformed data set. Exit code 3.
class DataError : public Error {
 public:
  template <class... Args>
  explicit DataError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::data, fmt::format(format, std::forward<Args>(args)...)) {}
};

/// Checkpoint that cannot be read, written or trusted. Exit code 4.
class CheckpointError : public Error {
 public:
  template <class... Args>
  explicit CheckpointError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::checkpoint, fmt::format(format, std::forward<Args>(args)...)) {}
};

/// Training that produced non-finite losses past the limit. Exit code 5.
class DivergedError : public Error {
 public:
  template <class... Args>
  explicit DivergedError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::diverged, fmt::format(format, std::forward<Args>(args)...)) {}
};

/// Tensors of the wrong shape, dtype or device given to an op: a mistake of the caller's code.
class ShapeError : public Error {
 public:
  template <class... Args>
  explicit ShapeError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::usage, fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace ssa

/// Throws ShapeError with the formatted message unless `condition` holds.
#define SSA_CHECK(condition, ...)                           \
  do {                                                      \
    if (!(condition)) throw ::ssa::ShapeError(__VA_ARGS__); \
  } while (false)
