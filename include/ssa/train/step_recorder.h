#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa {

/// Has a device do the same work step after step: asked for call by call at first, then recorded,
/// and from then on asked for as a whole (Backend::record).
class StepRecorder {
 public:
  /// Not `enabled`, or on a device that cannot record: all work is asked for call by call.
  StepRecorder(Device device, bool enabled) : device_(device), enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  /// Has work() done for this step. `kind` are all numbers that go into work() beside the contents
  /// of tensors and RngKey::step: where they change it is recorded anew. If recording fails, says
  /// so on the log, and no more is recorded.
  void run(uint32_t step, const std::vector<double>& kind, const std::function<void()>& work);

 private:
  bool record(uint32_t step, const std::function<void()>& work);

  Device device_;
  bool enabled_;
  std::vector<double> kind_;  // of the work done last
  std::unique_ptr<RecordedWork> recorded_;
};

}  // namespace ssa
