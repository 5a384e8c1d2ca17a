#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssa/backend/profile.h"
#include "ssa/core/trace_range.h"

namespace ssa {

/// Which steps are profiled, and where the traces go.
struct ProfileOptions {
  std::string dir;
  int64_t first = 0;  ///< counted from 1 as in the log; 0: the third that this process trains
  int64_t last = 0;   ///< 0: two after the first
};

/// Records a few steps of a training as a Chrome trace: JSON that chrome://tracing and Perfetto
/// show. Its lanes are the threads of the host with their ranges and primitives, the collectives,
/// and of a GPU its primitives in its own time. Each rank writes DIR/trace-rank-N.json.
class StepProfile {
 public:
  /// `steps_done` is where this process begins. Makes the folder. Throws CheckpointError if it
  /// cannot.
  StepProfile(const ProfileOptions& options, int64_t steps_done, Device device, int rank);

  /// Call it before step number `step`, counted from 1.
  void before(int64_t step);
  /// Call it when the step and what belongs to it are done. After the last one it writes the file.
  void after(int64_t step);
  /// Call it at the end of the run, which may come before the last step to profile.
  void finish();
  /// Steps are being recorded: their primitives have to be launched one by one.
  bool active() const { return log_.has_value(); }
  const std::string& path() const { return path_; }

 private:
  void write();

  int64_t first_, last_;
  std::string path_;
  Device device_;
  int rank_;
  bool written_ = false;
  std::optional<TraceLog> log_;
  std::optional<BackendProfile> primitives_;
};

}  // namespace ssa
