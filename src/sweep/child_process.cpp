#include "ssa/sweep/child_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/core/shell_word.h"

extern char** environ;

namespace ssa {

namespace {

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

/// This process's environment, with `more` in the place of what has the same name.
std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> result = more;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& own : more) replaced = replaced || own.starts_with(name);
    if (!replaced) result.emplace_back(text);
  }
  return result;
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// In the new process, up to the program's start: nothing but system calls.
[[noreturn]] void become(char* const* argv, char* const* envp, int input, int output, int report,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::signal(SIGPIPE, SIG_DFL);  // what is ignored or blocked here is not the new program's concern
  ::signal(SIGXFSZ, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const bool ready = ::getppid() == parent && ::dup2(input, STDIN_FILENO) >= 0 &&
                     ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0;
  if (ready) ::execve(argv[0], argv, envp);
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(report, &error, sizeof error);
  ::_exit(127);
}

int open_or_throw(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) throw CheckpointError("cannot open {}: {}", path, reason(errno));
  return descriptor;
}

/// Closed when it goes out of scope.
struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::string& log_path,
                           const std::vector<std::string>& environment) {
  std::vector<std::string> words = command, variables = environment_with(environment);
  const std::vector<char*> argv = pointers(words), envp = pointers(variables);
  const Descriptor input{open_or_throw("/dev/null", O_RDONLY)};
  const Descriptor output{open_or_throw(log_path, O_WRONLY | O_CREAT | O_APPEND)};
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) {
    throw ConfigError("cannot start {}: {}", command.front(), reason(errno));
  }
  const Descriptor report_end{report[0]};
  const pid_t parent = ::getpid();
  {
    const Descriptor report_begin{report[1]};
    pid_ = ::fork();
    if (pid_ == 0) become(argv.data(), envp.data(), input.number, output.number, report[1], parent);
    if (pid_ < 0) throw ConfigError("cannot start {}: {}", command.front(), reason(errno));
  }
  int error = 0;  // nothing arrives where the program has started
  ssize_t got = 0;
  do got = ::read(report_end.number, &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof error)) {
    ::waitpid(pid_, nullptr, 0);
    throw ConfigError("cannot start {}: {}", command.front(), reason(error));
  }
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0 || code_) return;
  ::kill(pid_, SIGTERM);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), code_(other.code_) {}

void ChildProcess::send(int signal) const {
  if (pid_ > 0 && !code_) ::kill(pid_, signal);
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  if (!code_ && ::waitpid(pid_, &status, WNOHANG) == pid_) code_ = exit_code_of(status);
  return code_;
}

std::string own_program_dir() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw ConfigError("/proc/self/exe cannot be read: {}", error.message());
  return path.parent_path().string();
}

std::string find_on_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = (folder.empty() ? "." : folder) + "/" + program;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0)
      return file;
  }
  return {};
}

std::string shell_line(const std::vector<std::string>& command) {
  std::string line;
  for (const std::string& word : command) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

}  // namespace ssa
