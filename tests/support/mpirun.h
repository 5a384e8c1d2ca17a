#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "support/skip.h"

namespace ssa::testing {

/// What became of a job under mpirun.
struct MpiJob {
  int code = 0;         ///< mpirun's; 124 if it did not end in 100 seconds
  std::string output;   ///< of mpirun and all ranks, both streams
  int left_behind = 0;  ///< processes that outlived mpirun
};

/// Why no job can be run here: no mpirun, or not Open MPI's, whose options the tests use. Empty if
/// one can.
std::string why_no_mpirun();

#define SSA_SKIP_WITHOUT_MPIRUN()                                            \
  if (const std::string why = ssa::testing::why_no_mpirun(); !why.empty()) { \
    SSA_SKIP_WITHOUT_TOOL(why);                                              \
  }

/// Runs a program of this build on so many ranks, as root as well. With `survive`, mpirun does not
/// end the job when a rank dies, so that the others have their say; its own code is 0 then, and
/// the output has a line "rank 1 returned 6" for each.
MpiJob mpirun(int ranks, const std::string& program, const std::vector<std::string>& arguments,
              bool survive = false);

/// The process of a rank of the ssa-train that has this folder among its arguments; -1: there is
/// none.
pid_t process_of_rank(const std::string& folder, int rank);

/// Kills the mpirun, not the ranks, of the job that has this folder among its arguments.
void kill_launcher(const std::string& folder);

}  // namespace ssa::testing
