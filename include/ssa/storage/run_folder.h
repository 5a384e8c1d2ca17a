#pragma once

#include <string>
#include <string_view>

namespace ssa {

/// The folder of a run, made where it is missing and locked against a second process for as long
/// as the object lives. The lock goes with the process, however it ends. One rank holds it.
class RunFolder {
 public:
  /// Throws ConfigError naming the other process if the folder is in use, CheckpointError if it
  /// cannot be made.
  explicit RunFolder(std::string path);
  ~RunFolder();
  RunFolder(RunFolder&& other) noexcept;
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string config_path() const { return path_ + "/config.yaml"; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string log_path() const { return path_ + "/log.txt"; }
  std::string report_path() const { return path_ + "/report.html"; }
  std::string checkpoints_path() const { return path_ + "/checkpoints"; }

  /// Replaces config.yaml, atomically.
  void write_config(std::string_view yaml) const;
  /// False on a file system without locks, where nothing keeps a second process out.
  bool locked() const { return locked_; }

 private:
  void lock();

  std::string path_;
  int lock_descriptor_ = -1;
  bool locked_ = false;
};

}  // namespace ssa
