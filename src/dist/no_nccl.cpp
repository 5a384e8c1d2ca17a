// make_nccl() in builds without NCCL.

#include "ssa/dist/nccl.h"

namespace ssa {

std::unique_ptr<Communicator> make_nccl(Communicator& host, void*) {
  throw ConfigError(
      "--device cuda on {} ranks: this build has no NCCL; build with -DSSA_NCCL=ON, or start one "
      "rank",
      host.size());
}

}  // namespace ssa
