#pragma once

namespace ssa {

/// Chooses the GPU that is Device::cuda in this process: number `index`, from 0, among those that
/// CUDA_VISIBLE_DEVICES leaves visible. Ranks pass their number on their machine. Call it before
/// the first backend(Device::cuda), which throws ConfigError if there are fewer GPUs. A process
/// that sees only one GPU, such as a rank whose scheduler gave it one, always uses that one.
void choose_gpu(int index);

}  // namespace ssa
