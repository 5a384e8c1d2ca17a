#pragma once

#include <memory>
#include <string>

#include "ssa/core/tensor.h"
#include "ssa/dist/communicator.h"

namespace ssa {

/// The device of this rank. `name` is the value of `--device`: auto, cpu, cuda or reference, the
/// same on all ranks. `auto` is a GPU if every rank has one. Where a machine has several GPUs, each
/// rank takes its own. Throws ConfigError if the device cannot be used, and for `auto` if some
/// ranks have a GPU and others have none.
Device device_of_rank(const std::string& name, Communicator& ranks);

/// What `auto` is on several ranks, of which this one has a GPU or lacks one for a reason.
struct OwnGpu {
  std::string host;
  std::string why_none;  ///< empty: this rank has one
};
Device common_device(const OwnGpu& own, Communicator& ranks);

/// The device that a rank computes on, and the communicator that reaches its memory: NCCL if there
/// are several ranks on GPUs, else `host` itself.
class DeviceRanks {
 public:
  /// Takes the device from device_of_rank(). `host` must outlive this. Also throws ConfigError if
  /// NCCL is needed and this build does not have it.
  DeviceRanks(const std::string& device, Communicator& host);

  Device device() const { return device_; }
  Communicator& ranks() { return nccl_ ? *nccl_ : host_; }

 private:
  Communicator& host_;
  Device device_;
  std::unique_ptr<Communicator> nccl_;
};

}  // namespace ssa
