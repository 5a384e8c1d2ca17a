#include "ssa/train/device_ranks.h"

#include "ssa/backend/backend.h"
#include "ssa/backend/choose_gpu.h"
#include "ssa/train/model_session.h"

#ifdef SSA_WITH_NCCL
#include "ssa/dist/nccl.h"

#include "backend/cuda/launch.h"
#endif

namespace ssa {

Device device_of_rank(const std::string& name, Communicator& ranks) {
  choose_gpu(ranks.local_rank());
  if (name != "auto" || ranks.size() == 1) return device_from_name(name);
  return ranks.any(!is_usable(Device::cuda), "which device to use") ? Device::cpu : Device::cuda;
}

namespace {

std::unique_ptr<Communicator> join_gpus(Communicator& host) {
#ifdef SSA_WITH_NCCL
  return make_nccl(host, cuda::stream());
#else
  throw ConfigError(
      "--device cuda on {} ranks: this build has no NCCL; build with -DSSA_NCCL=ON, or start one "
      "rank",
      host.size());
#endif
}

}  // namespace

DeviceRanks::DeviceRanks(const std::string& device, Communicator& host)
    : host_(host), device_(device_of_rank(device, host)) {
  if (device_ == Device::cuda && host.size() > 1) nccl_ = join_gpus(host);
}

}  // namespace ssa
