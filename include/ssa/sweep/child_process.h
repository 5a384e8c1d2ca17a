#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace ssa {

/// A program running beside this one, without input, its output appended to a file. It is asked to
/// stop (SIGTERM) if this process ends before it.
class ChildProcess {
 public:
  /// `environment`: "NAME=value" added to this process's. Throws ConfigError if the program cannot
  /// be run, CheckpointError if the log cannot be written.
  ChildProcess(const std::vector<std::string>& command, const std::string& log_path,
               const std::vector<std::string>& environment);
  /// Asks a program that still runs to stop, and waits for it.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  void send(int signal) const;
  /// The exit code once it has ended; 128 + n if signal n killed it. Does not wait.
  std::optional<int> poll();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> code_;
};

/// The folder this program lies in; those it starts lie beside it. Throws ConfigError if the
/// system does not say.
std::string own_program_dir();

/// Path of an executable on PATH; of a name with a slash itself. Empty if there is none.
std::string find_on_path(const std::string& program);

/// A command as one could type it: words that need it are quoted for a POSIX shell.
std::string shell_line(const std::vector<std::string>& command);

}  // namespace ssa
