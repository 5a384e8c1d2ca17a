#pragma once

namespace ssa {

/// Which of the GPUs that CUDA_VISIBLE_DEVICES leaves visible is Device::cuda of this process, from
/// 0: the number of this rank on its machine. To be called before backend(Device::cuda) is first
/// used, which throws ConfigError if there are fewer. A process that sees one GPU only, as when a
/// scheduler gives each rank its own, uses that one in any case.
void choose_gpu(int index);

}  // namespace ssa
