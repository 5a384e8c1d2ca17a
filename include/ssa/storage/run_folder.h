#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/storage/checkpoint.h"

namespace ssa {

/// What a model drew after a step, in a file of its run folder: samples/step-N.SUFFIX.
struct SampleFile {
  int64_t step = 0;
  std::string path;
};

/// The samples of a run folder by their steps. Files with other names are left out.
std::vector<SampleFile> list_samples(const std::string& run_dir);

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
  /// Writes samples/step-N.SUFFIX, atomically.
  void write_sample(int64_t step, std::string_view suffix, std::string_view bytes) const;
  /// Removes the samples of later steps, which a run that goes back to `step` draws again.
  void remove_samples_after(int64_t step) const;
  /// Finishes a save that was interrupted after its checkpoint had got its name: `latest`, `best`,
  /// and the removal of those that `keep` does not name. `newest` is the checkpoint that has been
  /// found intact; nothing is done if a newer one is damaged.
  void finish_save(const std::string& newest, const Retention& keep) const;
  /// False on a file system without locks: nothing keeps a second process out there.
  bool locked() const { return locked_; }

 private:
  void lock();

  std::string path_;
  int lock_descriptor_ = -1;
  bool locked_ = false;
};

}  // namespace ssa
