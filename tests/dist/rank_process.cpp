#include "dist/rank_process.h"

#include <array>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dist/sockets.h"

namespace ssa::testing {

namespace {

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

RankProcess::RankProcess(const std::string& program, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& environment) {
  const std::string path =
      program.starts_with("/") ? program : std::string(SSA_BIN_DIR) + "/" + program;
  std::vector<std::string> words = arguments, variables = environment;
  words.insert(words.begin(), path);
  for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);

  std::array<int, 2> out, err;
  REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
  REQUIRE(::pipe2(err.data(), O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  const int error = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, pointers_to(words).data(),
                                  pointers_to(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  ::close(err[1]);
  out_ = out[0];
  err_ = err[0];
  if (error != 0) FAIL("cannot start " << path << ": error " << error);
}

RankProcess::RankProcess(RankProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_(std::exchange(other.out_, -1)),
      err_(std::exchange(other.err_, -1)),
      errors_(std::move(other.errors_)) {}

RankProcess::~RankProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) ::close(out_);
  if (err_ >= 0) ::close(err_);
}

void RankProcess::send(int signal) const { REQUIRE(::kill(pid_, signal) == 0); }

std::string RankProcess::line() {
  std::string result;
  for (char letter = 0; ::read(out_, &letter, 1) == 1 && letter != '\n';) result += letter;
  return result;
}

int RankProcess::wait() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  int status = 0;
  bool in_time = true;
  while (::waitpid(pid_, &status, in_time ? WNOHANG : 0) != pid_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    in_time = std::chrono::steady_clock::now() < end;
    if (!in_time) ::kill(pid_, SIGKILL);
  }
  pid_ = -1;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = ::read(err_, buffer.data(), buffer.size())) > 0;) {
    errors_.append(buffer.data(), static_cast<size_t>(got));
  }
  if (!in_time) return 124;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int free_port() { return dist::port_of(dist::listen_on(0)); }

}  // namespace ssa::testing
