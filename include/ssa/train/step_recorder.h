#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa {

/// Runs a step's kernels: launched one by one at first, then captured as a CUDA graph
/// (Backend::record) and replayed. Steps of several kinds each have a graph of their own.
class StepRecorder {
 public:
  using Work = std::function<std::vector<Tensor>()>;
  /// The most graphs that are kept. When there is one more, the least recently used is dropped.
  static constexpr size_t kMostKinds = 8;
  /// A graph that was not used for this many steps is dropped too, so that its memory is free: its
  /// kind may never come back (another loss scale, fine-tuning).
  static constexpr int64_t kMostIdleSteps = 64;

  /// If not `enabled`, or if the device cannot capture, all kernels are launched one by one.
  StepRecorder(Device device, bool enabled) : device_(device), enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  /// While `paused`, all kernels are launched one by one, so that a profile sees each.
  void pause(bool paused) { paused_ = paused; }
  /// Runs work() for this step and returns the tensors that it returned, or those of the captured
  /// call. `kind` are all numbers that work() depends on beside the contents of tensors and
  /// RngKey::step. If capturing fails, the kernels are launched one by one, and nothing is captured
  /// any more; the log says so. Running out of memory counts as a failure only the third time.
  std::vector<Tensor> run(uint32_t step, const std::vector<double>& kind, const Work& work);

 private:
  struct Entry {
    int64_t last_used = 0;
    std::unique_ptr<RecordedWork> graph{};  // null until the kind comes a second time
    std::vector<Tensor> results{};          // of the captured call
  };
  /// Whether the entry has a graph now. If not, the entry may be gone.
  bool capture(uint32_t step, Entry& entry, const Work& work);
  void drop_unused();
  void give_up(const Error& error);

  static constexpr int kMostTimesWithoutRoom = 3;
  Device device_;
  bool enabled_;
  bool paused_ = false;
  int times_without_room_ = 0;
  int64_t runs_ = 0;
  std::map<std::vector<double>, Entry> entries_;  // by kind
};

}  // namespace ssa
