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
  if (!recorded_ || !recorded_->usable()) {
    recorded_.reset();
    enabled_ = record(step, work);
  }
  if (!enabled_) return work();
  recorded_->replay(step);
}

bool StepRecorder::record(uint32_t step, const std::function<void()>& work) {
  try {
    recorded_ = backend(device_).record(step, work);
    return recorded_ != nullptr;
  } catch (const Error& error) {
    spdlog::warn("steps are not recorded (train.cuda_graphs): {}", error.what());
    return false;
  }
}

}  // namespace ssa
