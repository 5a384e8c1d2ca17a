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
  /// of tensors and RngKey::step: where they change it is recorded anew. A recording that fails is
  /// followed by a call. After that, or the third for want of memory, no more is recorded, and the
  /// log says so.
  void run(uint32_t step, const std::vector<double>& kind, const std::function<void()>& work);

 private:
  void record(uint32_t step, const std::function<void()>& work);
  void give_up(const Error& error);

  static constexpr int kMostTimesWithoutRoom = 3;
  Device device_;
  bool enabled_;
  int times_without_room_ = 0;
  std::vector<double> kind_;  // of the work done last
  std::unique_ptr<RecordedWork> recorded_;
};

}  // namespace ssa
