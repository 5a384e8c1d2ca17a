#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace ssa::testing {

/// A program of this build, or of the system by its path, that runs beside the test. Killed if it
/// outlives this object.
class RankProcess {
 public:
  /// `environment` ("NAME=value") is added to the test's own.
  RankProcess(const std::string& program, const std::vector<std::string>& arguments,
              const std::vector<std::string>& environment = {});
  ~RankProcess();
  RankProcess(RankProcess&& other) noexcept;
  RankProcess& operator=(RankProcess&&) = delete;

  void send(int signal) const;
  /// The next line of its standard output, without the end; empty after the last one.
  std::string line();
  /// Waits for the end: what the program returned, or 128 + the signal that killed it. 124, and it
  /// is killed, if it does not end in 60 seconds.
  int wait();
  /// What it wrote to standard error; after wait().
  const std::string& errors() const { return errors_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1, err_ = -1;
  std::string errors_;
};

/// A port of this machine that nobody listens on.
int free_port();

}  // namespace ssa::testing
