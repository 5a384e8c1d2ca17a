#include "ssa/train/device_ranks.h"

#include "ssa/backend/backend.h"
#include "ssa/backend/choose_gpu.h"
#include "ssa/backend/gpu_stream.h"
#include "ssa/dist/agreement.h"
#include "ssa/dist/nccl.h"
#include "ssa/train/model_session.h"

namespace ssa {

Device device_of_rank(const std::string& name, Communicator& ranks) {
  require_agreement(ranks, {{"--device", name}});
  choose_gpu(ranks.local_rank());
  if (name != "auto" || ranks.size() == 1) return device_from_name(name);
  return ranks.any(!is_usable(Device::cuda), "which device to use") ? Device::cpu : Device::cuda;
}

DeviceRanks::DeviceRanks(const std::string& device, Communicator& host)
    : host_(host), device_(device_of_rank(device, host)) {
  if (device_ == Device::cuda && host.size() > 1) nccl_ = make_nccl(host, gpu_stream());
}

}  // namespace ssa
