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
  /// Graphs that are kept at most. For one more, the least recently used one is dropped.
  static constexpr size_t kMostKinds = 8;
  /// A graph that so many steps did without is dropped too, and gives its memory back: its kind
  /// may be gone for good (another loss scale, fine-tuning).
  static constexpr int64_t kMostIdleSteps = 64;

  /// Not `enabled`, or on a device that cannot capture: all kernels are launched one by one.
  StepRecorder(Device device, bool enabled) : device_(device), enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  /// Runs work() for this step and returns the tensors that it returned, or those of the captured
  /// call. `kind` are all numbers that work() depends on beside the contents of tensors and
  /// RngKey::step. If capturing fails, the kernels are launched. After that, or the third time that
  /// memory does not suffice, no more is captured, and the log says so.
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
  int times_without_room_ = 0;
  int64_t runs_ = 0;
  std::map<std::vector<double>, Entry> entries_;  // by kind
};

}  // namespace ssa
