#pragma once

#include <string>

#include "ssa/dist/launch.h"

#include "dist/sockets.h"

namespace ssa::dist {

/// Says on this machine that a rank has begun to join, for as long as it lives: before MPI_Init
/// returns no rank can ask another, and the launcher does not tell which one it waits for. Each
/// rank holds a socket of an abstract name, which leaves no file behind.
class LocalPresence {
 public:
  explicit LocalPresence(const LaunchInfo& launch);

  /// "missing: 1, 3" if all ranks run on this machine, else "those of this machine that came: 0,
  /// 2". Empty if nothing is known.
  std::string report() const;

 private:
  LaunchInfo launch_;
  Descriptor socket_;
};

}  // namespace ssa::dist
