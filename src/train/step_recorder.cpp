#include "ssa/train/step_recorder.h"

#include <spdlog/spdlog.h>

namespace ssa {

void StepRecorder::run(uint32_t step, const std::vector<double>& kind,
                       const std::function<void()>& work) {
  if (!enabled_) return work();
  if (kind != kind_) {  // once call by call: that is when libraries choose and buffers are made
    recorded_.reset();
    kind_ = kind;
    return work();
  }
  if (!recorded_ || !recorded_->usable()) record(step, work);
  if (!recorded_) return work();
  recorded_->replay(step);
}

void StepRecorder::record(uint32_t step, const std::function<void()>& work) {
  recorded_.reset();
  try {
    recorded_ = backend(device_).record(step, work);
    enabled_ = recorded_ != nullptr;
  } catch (const OutOfMemoryError& error) {
    // Asked for call by call, the step frees what it needs; then there may be room.
    kind_.clear();
    if (++times_without_room_ == kMostTimesWithoutRoom) give_up(error);
  } catch (const Error& error) {
    give_up(error);
  }
}

void StepRecorder::give_up(const Error& error) {
  enabled_ = false;
  spdlog::warn("steps are not recorded (train.cuda_graphs): {}", error.what());
}

}  // namespace ssa
