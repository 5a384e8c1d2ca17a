#pragma once

#include <string>
#include <string_view>

namespace ssa {

/// The folder of a run. It is made if it is missing, and locked against other processes while the
/// object lives. The system releases the lock when the process ends, however it ends. Rank 0 holds
/// it.
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
  /// Replaces config-changes.json, which says which steps ran under which config; removes it if
  /// `json` is empty.
  void write_config_changes(std::string_view json) const;
  /// False on a file system without locks: nothing keeps a second process out there.
  bool locked() const { return locked_; }

 private:
  void lock();

  std::string path_;
  int lock_descriptor_ = -1;
  bool locked_ = false;
};

}  // namespace ssa
