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
  int local_rank = 0, local_size = 1;  ///< on this machine; size 0: both are unknown
  std::string master_address;          ///< environment: where rank 0 runs
  int master_port = 0;                 ///< environment: where rank 0 listens
  std::string job = {};                ///< mpi: the launcher's name for the job; empty: not known
};

/// `variable(name)` returns an environment variable, or null. The variables of MPI's launchers take
/// precedence over RANK and WORLD_SIZE. A job of one process is `single`, however it was started,
/// and so is the script of a Slurm job. Throws ConfigError naming a variable that is missing or
/// invalid, and if Slurm started several tasks that cannot find each other.
LaunchInfo detect_launch(const std::function<const char*(const char*)>& variable);
/// The same for the process's environment.
LaunchInfo detect_launch();

/// Joins the other ranks. Throws ConfigError if this build cannot (no MPI, no Gloo), and PeerError
/// if a rank does not join within `timeout`: a thread may then still be inside MPI_Init, so the
/// process should end by std::_Exit. One communicator per process, made and destroyed by its main
/// thread.
std::unique_ptr<Communicator> join_ranks(
    const LaunchInfo& launch, std::chrono::duration<double> timeout = std::chrono::seconds(600));

}  // namespace ssa
