#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/storage/sharded_tensors.h"

namespace ssa {

// A checkpoint is a folder RUN/checkpoints/step-N with model.safetensors, optimizer.safetensors (or
// optimizer-00001-of-00004.safetensors and so on), state.json, config.yaml and manifest.json; of a
// run that averages its weights also average.safetensors. It is
// written under another name, the manifest last, and renamed when every byte is on the disk. So a
// folder called step-N was complete when it got its name; the manifest's checksums tell whether it
// still is. RUN/checkpoints/latest holds the name of the newest checkpoint, RUN/checkpoints/best
// that of the one with the best score, where the run keeps that.
//
// A run in trouble, whose updates are being skipped or whose validation loss is not finite, saves
// step-N-in-trouble instead. Such a checkpoint never takes the place of a sound one.

/// Which checkpoints of a run stay when another one is saved.
struct Retention {
  Retention(int64_t count = 1) : newest(count) {}  // NOLINT: a number alone is enough

  int64_t newest;     ///< so many of those saved last, at least 1
  int64_t every = 0;  ///< those of steps that are multiples of this stay for good; 0: none
  int64_t best = -1;  ///< the step whose checkpoint `best` names, which stays too; -1: none
};

struct CheckpointData {
  int64_t step = 0;
  std::vector<NamedTensor> model;
  std::vector<NamedTensor> average = {};  ///< of the weights, under their names; empty: none
  std::vector<NamedTensor> optimizer;
  std::string state_json = "{}";  ///< whatever else a resume needs, as JSON
  std::string config_yaml = {};   ///< the config that the weights were trained with; empty: none
  bool in_trouble = false;        ///< what is saved may be ruined
};

/// An open checkpoint. The files stay readable even if the folder is removed meanwhile.
struct LoadedCheckpoint {
  std::string path;
  int64_t step = 0;
  SafetensorsFile model;
  std::optional<SafetensorsFile> average;  ///< of the weights
  ShardedTensors optimizer;
  std::string state_json;
  std::string engine_version;
  std::string engine_commit;
  std::string config_yaml;  ///< empty: saved by an engine that did not keep it yet
  int64_t newest_step = 0;  ///< another than `step` if find_latest_checkpoint() found that damaged
  bool in_trouble = false;
  bool only_average = false;  ///< the trained weights are not known: `model` is the average too
};

/// Saves RUN/checkpoints/step-N, then removes the checkpoints that `keep` does not name. Of those
/// in trouble only the newest stays, until the next sound one; it removes no sound one. Replaces a
/// checkpoint of the same step. If it throws CheckpointError (a full disk, an I/O error) or the
/// process is killed, the earlier checkpoints stay valid.
void save_checkpoint(const std::string& run_dir, const CheckpointData& data, const Retention& keep);

/// A file of a checkpoint that is being saved, as its manifest will list it.
struct SavedFile {
  std::string name;
  uint64_t bytes = 0;
  std::string checksum;
};

/// The file's entry as text, to be sent to another process.
std::string to_text(const SavedFile& file);
/// Throws CheckpointError if `text` is not such an entry.
SavedFile saved_file_from_text(const std::string& text);

/// A save by several processes. One process makes this object; then every process, this one
/// included, may call save_optimizer_shard(). Errors are those of save_checkpoint(). Without
/// commit(), the object removes what was written.
class CheckpointSave {
 public:
  /// Makes the folder that the files go into.
  CheckpointSave(std::string run_dir, int64_t step, const Retention& keep, bool in_trouble = false);
  ~CheckpointSave();
  CheckpointSave(const CheckpointSave&) = delete;
  CheckpointSave& operator=(const CheckpointSave&) = delete;

  void write_model(const std::vector<NamedTensor>& model);
  void write_average(const std::vector<NamedTensor>& average);
  void write_state(const std::string& json);
  void write_config(const std::string& yaml);
  /// Writes the manifest and gives the folder its name. `optimizer` are the files of all shards.
  /// Also throws CheckpointError if this process does not see the shards as they were written.
  void commit(const std::vector<SavedFile>& optimizer);

 private:
  std::string run_dir_, partial_;
  int64_t step_;
  Retention keep_;
  bool in_trouble_;
  int64_t sequence_ = 0;
  void write_tensors(const char* file_name, const std::vector<NamedTensor>& tensors);
  std::vector<SavedFile> files_;
  bool complete_ = false;
};

/// Writes shard `index` (from 0) of `shards` of the optimizer's state into the folder of a
/// CheckpointSave, which another process may have made. part_name() names parts of tensors.
SavedFile save_optimizer_shard(const std::string& run_dir, int64_t step, int index, int shards,
                               const std::vector<NamedTensor>& tensors);

/// The newest checkpoint of a run whose files all match their checksums: the one saved last, even
/// if others have a higher step because the run was resumed from an earlier one. One in trouble is
/// used only where there is no sound one. Damaged newer ones are skipped; `warnings` (may be null)
/// gets a message for each that is passed over, which names it, the reason and the one used
/// instead. Nothing if the run has no checkpoint; CheckpointError if it has some
/// but all are damaged.
std::optional<LoadedCheckpoint> find_latest_checkpoint(const std::string& run_dir,
                                                       std::vector<std::string>* warnings);

/// Whether the run has a checkpoint, valid or not.
bool has_checkpoints(const std::string& run_dir);

/// Whether the run keeps its best checkpoint.
bool has_best_checkpoint(const std::string& run_dir);

/// Opens a checkpoint folder, or the one that a `latest` or `best` file names, after verifying
/// every file. Or a file of weights with their config (weights_file.h), which has no optimizer's
/// state. Throws CheckpointError naming the file, with the expected and the actual size or
/// checksum, and for a folder whose name gives another step than its manifest.
LoadedCheckpoint open_checkpoint(const std::string& path);

/// Opens a checkpoint of a run by its name: `best`, `latest`, `step-N`. newest_step is that of the
/// run. Throws CheckpointError as open_checkpoint(), and listing the names that there are if it is
/// none of them.
LoadedCheckpoint open_checkpoint(const std::string& run_dir, const std::string& name);

}  // namespace ssa
