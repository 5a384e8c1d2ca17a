#include "ssa/train/device_ranks.h"

#include <array>
#include <map>
#include <vector>

#include <fmt/ranges.h>
#include <unistd.h>

#include "ssa/backend/backend.h"
#include "ssa/backend/choose_gpu.h"
#include "ssa/backend/gpu_stream.h"
#include "ssa/dist/agreement.h"
#include "ssa/dist/nccl.h"
#include "ssa/train/model_session.h"

namespace ssa {

namespace {

std::string host_name() {
  std::array<char, 256> text{};
  return ::gethostname(text.data(), text.size() - 1) == 0 ? text.data() : "unknown host";
}

OwnGpu own_gpu() {
  OwnGpu own{host_name(), ""};
  try {
    backend(Device::cuda);
  } catch (const ConfigError& error) {
    own.why_none = error.what();
  }
  return own;
}

/// "ranks 0-3 on node1, ranks 4-7 on node2": the first hosts of many.
std::string by_host(const std::vector<size_t>& ranks, const std::vector<std::string>& hosts) {
  constexpr size_t kMostHosts = 8;
  std::map<std::string, std::vector<size_t>> of_host;
  for (const size_t rank : ranks) of_host[hosts[rank]].push_back(rank);
  std::vector<std::string> parts;
  for (const auto& [host, members] : of_host) {
    if (parts.size() == kMostHosts) break;
    parts.push_back(fmt::format("{} on {}", list_of_ranks(members), host));
  }
  if (of_host.size() > kMostHosts) {
    parts.push_back(fmt::format("and on {} more hosts", of_host.size() - kMostHosts));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

Device common_device(const OwnGpu& own, Communicator& ranks) {
  const std::vector<std::string> hosts = ranks.gather(own.host, "the hosts of the ranks");
  const std::vector<std::string> reasons = ranks.gather(own.why_none, "which ranks have a GPU");
  std::vector<size_t> with, without;
  for (size_t rank = 0; rank < reasons.size(); ++rank) {
    (reasons[rank].empty() ? with : without).push_back(rank);
  }
  if (without.empty()) return Device::cuda;
  if (with.empty()) return Device::cpu;
  throw ConfigError(
      "--device auto: some ranks have a GPU: {}; others have none: {}. On rank {}: {}. Give every "
      "rank a GPU (one for each, as --gpus-per-node and CUDA_VISIBLE_DEVICES say), or train on the "
      "processors with --device cpu",
      by_host(with, hosts), by_host(without, hosts), without.front(), reasons[without.front()]);
}

Device device_of_rank(const std::string& name, Communicator& ranks) {
  require_agreement(ranks, {{"--device", name}});
  choose_gpu(ranks.local_rank());
  if (name != "auto" || ranks.size() == 1) return device_from_name(name);
  return common_device(own_gpu(), ranks);
}

DeviceRanks::DeviceRanks(const std::string& device, Communicator& host)
    : host_(host), device_(device_of_rank(device, host)) {
  if (device_ == Device::cuda && host.size() > 1) nccl_ = make_nccl(host, gpu_stream());
}

}  // namespace ssa
