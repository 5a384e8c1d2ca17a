#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace ssa {

/// A child process without input, whose output is appended to a file. It receives SIGTERM if this
/// process ends first.
class ChildProcess {
 public:
  /// `environment`: "NAME=value" added to this process's. Throws ConfigError if the program cannot
  /// be run, CheckpointError if the log cannot be written.
  ChildProcess(const std::vector<std::string>& command, const std::string& log_path,
               const std::vector<std::string>& environment);
  /// Sends SIGTERM to a program that still runs, and waits for it.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  void send(int signal) const;
  /// The exit code, or 128 + n if signal n killed it; nothing while it runs. Does not wait.
  std::optional<int> poll();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> code_;
};

/// The folder of this program, and of the programs that it starts. Throws ConfigError if the system
/// does not tell.
std::string own_program_dir();

/// The path of an executable on PATH. A name with a slash is a path already. Empty: not found.
std::string find_on_path(const std::string& program);

/// A command as a line for a POSIX shell, with quotes where they are needed.
std::string shell_line(const std::vector<std::string>& command);

}  // namespace ssa
