#pragma once

#include <memory>
#include <string>

#include "ssa/core/tensor.h"
#include "ssa/dist/communicator.h"

namespace ssa {

/// The device named by `--device` for this rank: auto, cpu, cuda or reference, on all ranks the
/// same; with auto a GPU if every rank has one. Of several GPUs of a machine each rank takes its
/// own. Throws ConfigError if it cannot be used.
Device device_of_rank(const std::string& name, Communicator& ranks);

/// The device that a rank computes on, and the communicator that reaches its memory: `host` itself,
/// or NCCL where that device is a GPU and there are several ranks.
class DeviceRanks {
 public:
  /// By device_of_rank(). `host` must outlive it. Throws ConfigError also if this build has no NCCL
  /// and needs it.
  DeviceRanks(const std::string& device, Communicator& host);

  Device device() const { return device_; }
  Communicator& ranks() { return nccl_ ? *nccl_ : host_; }

 private:
  Communicator& host_;
  Device device_;
  std::unique_ptr<Communicator> nccl_;
};

}  // namespace ssa
