#pragma once

#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "train/tiny_run.h"

namespace ssa::testing {

/// The result of a program. A code of 128 + n: killed by signal n.
struct Finished {
  int code = 0;
  std::string out;
  std::string err;
};

/// Whether a process has a handler of its own for a signal.
bool handles_signal(pid_t process, int signal);

/// A child process that runs one of the engine's programs, with one thread and no input. Its output
/// goes to files, so it prints as into a pipe. It is killed if it outlives this object.
class Child {
 public:
  Child(const std::string& program, const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void send(int signal) const;
  /// Standard output so far.
  std::string out() const;
  /// Waits until `ready` returns true. Fails the test if the program ends first, or after 60
  /// seconds.
  void wait_until(const std::function<bool()>& ready);
  bool handles(int signal) const { return handles_signal(pid_, signal); }
  /// Waits for the end; fails the test after 60 seconds.
  Finished wait();

 private:
  bool ended();

  TempDir dir_;
  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
};

/// Runs a program to its end. Checks that it wrote no carriage return: those are for terminals.
Finished run_program(const std::string& program, const std::vector<std::string>& arguments);

/// The tiny text and a config file for it.
struct AppRun : TinyRun {
  std::string config_path = dir / "tiny.yaml";
  AppRun() { write_bytes(config_path, tiny_yaml(text_path)); }

  /// ssa-train with this config, in the folder `name`.
  std::vector<std::string> train_arguments(const std::string& name,
                                           const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--config", config_path, "--run-dir", dir / name};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Finished train(const std::string& name, const std::vector<std::string>& more = {}) const {
    return run_program("ssa-train", train_arguments(name, more));
  }
  /// The weights that a run ended with.
  std::string model_bytes(const std::string& name, int64_t step) const {
    return read_bytes(dir /
                      (name + "/checkpoints/step-" + std::to_string(step) + "/model.safetensors"));
  }
  size_t lines_of_metrics(const std::string& name) const {
    const std::string text = read_bytes(dir / (name + "/metrics.jsonl"));
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

}  // namespace ssa::testing
