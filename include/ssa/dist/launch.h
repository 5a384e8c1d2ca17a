#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ssa/dist/communicator.h"

namespace ssa {

/// How this process was started, read from its environment.
struct LaunchInfo {
  enum class Kind {
    single,      ///< alone
    mpi,         ///< by mpirun, mpiexec or srun --mpi=pmix|pmi2; MPI_Init gives the rest
    environment  ///< RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT
  };
  Kind kind = Kind::single;
  int rank = 0, size = 1;              ///< mpi: from the launcher's variables; size 0: unknown
  int local_rank = 0, local_size = 1;  ///< on this machine; size 0: not known, nor is the rank
  std::string master_address;          ///< environment: where rank 0 runs
  int master_port = 0;                 ///< environment: where rank 0 listens
};

/// `variable(name)` gives a variable of the environment, or null. MPI's launchers come before
/// RANK and WORLD_SIZE; one process is `single`, however started, and so is the script of a Slurm
/// job. Throws ConfigError naming the variable if one is missing or makes no sense, and if Slurm
/// started several tasks that have no means to find each other.
LaunchInfo detect_launch(const std::function<const char*(const char*)>& variable);
/// From the process's environment.
LaunchInfo detect_launch();

/// Joins the other ranks. Throws ConfigError if this build cannot (no MPI, no Gloo), PeerError if a
/// rank does not come within `timeout`: then a thread may still be inside MPI_Init, and the process
/// should leave by std::_Exit. One communicator per process, made and destroyed by its main thread.
std::unique_ptr<Communicator> join_ranks(
    const LaunchInfo& launch, std::chrono::duration<double> timeout = std::chrono::seconds(600));

}  // namespace ssa
