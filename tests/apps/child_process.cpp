#include "apps/child_process.h"

#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ssa::testing {

namespace {

constexpr auto kLimit = std::chrono::seconds(60);
constexpr auto kPause = std::chrono::milliseconds(1);

}  // namespace

bool handles_signal(pid_t process, int signal) {
  std::istringstream status(read_bytes("/proc/" + std::to_string(process) + "/status"));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigCgt:")) continue;
    return (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1u) != 0;
  }
  return false;
}

Child::Child(const std::string& program, const std::vector<std::string>& arguments) {
  const std::string path =
      program.starts_with("/") ? program : std::string(SSA_BIN_DIR) + "/" + program;
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), program);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> environment = {"OMP_NUM_THREADS=1", "PATH=/usr/bin:/bin", "LC_ALL=C"};
  if (const char* options = std::getenv("ASAN_OPTIONS")) {
    environment.push_back(std::string("ASAN_OPTIONS=") + options);
  }
  std::vector<char*> envp;
  for (std::string& variable : environment) envp.push_back(variable.data());
  envp.push_back(nullptr);
  const std::string out = dir_ / "out", err = dir_ / "err";

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const auto redirect = [&](int descriptor, const std::string& file, int flags) {
    ::posix_spawn_file_actions_addopen(&actions, descriptor, file.c_str(), flags, 0666);
  };
  redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
  redirect(STDOUT_FILENO, out, O_WRONLY | O_CREAT);
  redirect(STDERR_FILENO, err, O_WRONLY | O_CREAT);
  // Returns when the program has replaced this one, with its own signal handlers.
  const int error = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) FAIL("cannot start " << path << ": error " << error);
}

Child::~Child() {
  if (reaped_ || pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
}

void Child::send(int signal) const { REQUIRE(::kill(pid_, signal) == 0); }

std::string Child::out() const { return read_bytes(dir_ / "out"); }

bool Child::ended() {
  if (!reaped_) reaped_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return reaped_;
}

void Child::wait_until(const std::function<bool()>& ready) {
  const auto start = std::chrono::steady_clock::now();
  while (!ready()) {
    if (ended()) FAIL("the program ended too early: " << read_bytes(dir_ / "err"));
    if (std::chrono::steady_clock::now() - start > kLimit) FAIL("waited for too long");
    std::this_thread::sleep_for(kPause);
  }
}

Finished Child::wait() {
  const auto start = std::chrono::steady_clock::now();
  while (!ended()) {
    if (std::chrono::steady_clock::now() - start > kLimit) {
      FAIL("the program did not end: " << read_bytes(dir_ / "err"));
    }
    std::this_thread::sleep_for(kPause);
  }
  const int code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  return {code, out(), read_bytes(dir_ / "err")};
}

Finished run_program(const std::string& program, const std::vector<std::string>& arguments) {
  Child child(program, arguments);
  Finished finished = child.wait();
  INFO(program << " wrote:\n" << finished.out << finished.err);
  CHECK_FALSE(contains(finished.out + finished.err, "\r"));
  return finished;
}

}  // namespace ssa::testing
