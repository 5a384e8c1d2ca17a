#include <algorithm>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/dist/launch.h"

#include "dist/host_communicator.h"
#include "dist/roll_call.h"
#ifdef SSA_WITH_MPI
#include "dist/local_presence.h"
#include "dist/mpi_transport.h"
#endif
#ifdef SSA_WITH_GLOO
#include "dist/gloo_transport.h"
#endif

namespace ssa {

namespace {

using dist::HostCommunicator;
using dist::PeerReport;
using dist::RollCall;
using dist::Seconds;

[[maybe_unused]] std::string who(const LaunchInfo& launch) {
  return launch.size > 0 ? fmt::format("rank {} of {}", launch.rank, launch.size)
                         : fmt::format("rank {}", launch.rank);
}

#ifdef SSA_WITH_MPI

constexpr Seconds kJoining{10};  // limit for joining; reached only if something blocks it

/// Starts the roll call on rank 0. `where` receives its port, token and addresses.
std::shared_ptr<RollCall> serve_roll_call(int size, std::string* where) {
  const std::string token = RollCall::random_token();
  std::shared_ptr<RollCall> roll_call = RollCall::serve(size, 0, token);
  *where =
      fmt::format("{} {} {}", roll_call->port(), token, fmt::join(RollCall::own_addresses(), " "));
  return roll_call;
}

std::shared_ptr<RollCall> join_roll_call(int rank, int size, const std::string& where) {
  std::istringstream words(where);
  int port = 0;
  std::string token;
  words >> port >> token;
  std::vector<std::string> addresses;
  for (std::string address; words >> address;) addresses.push_back(address);
  return RollCall::join(rank, size, addresses, port, kJoining, token);
}

/// Sets up the roll call. A job can run without one.
void hold_roll_call(HostCommunicator& ranks) {
  std::shared_ptr<RollCall> roll_call;
  std::string where, failure;
  try {
    if (ranks.rank() == 0) roll_call = serve_roll_call(ranks.size(), &where);
  } catch (const Error& error) {
    failure = error.what();
  }
  where = ranks.broadcast(where, "the roll call's address");
  try {
    if (ranks.rank() != 0 && !where.empty()) {
      roll_call = join_roll_call(ranks.rank(), ranks.size(), where);
    }
  } catch (const Error& error) {
    failure = error.what();
  }
  if (roll_call) ranks.set_roll_call(std::move(roll_call));
  if (failure.empty()) return;
  spdlog::warn("rank {} has no roll call, so that errors will not say which rank is missing: {}",
               ranks.rank(), failure);
}

std::unique_ptr<HostCommunicator> enter_mpi(const LaunchInfo& launch, Seconds timeout) {
  const dist::LocalPresence presence(launch);
  try {
    return std::make_unique<HostCommunicator>(dist::make_mpi_transport, timeout, who(launch));
  } catch (const PeerError& error) {
    const std::string known = presence.report();
    throw PeerError("{}{}{}", error.what(), known.empty() ? "" : "; ", known);
  }
}

std::unique_ptr<Communicator> join_by_mpi(const LaunchInfo& launch, Seconds timeout) {
  std::unique_ptr<HostCommunicator> ranks = enter_mpi(launch, timeout);
  if (launch.size > 0 && launch.size != ranks->size()) {
    throw ConfigError(
        "the launcher started {} processes, but they find {} of them through {}: mpirun or srun's "
        "--mpi is of another MPI library than the one this program was built with",
        launch.size, ranks->size(), ranks->description());
  }
  hold_roll_call(*ranks);
  return ranks;
}

#else

std::unique_ptr<Communicator> join_by_mpi(const LaunchInfo& launch, Seconds) {
  throw ConfigError(
      "{}: started by an MPI launcher, but this program was built without MPI. Build it with "
      "-DSSA_MPI=ON, or start each rank with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and "
      "MASTER_PORT set and without mpirun's or srun's MPI (srun --mpi=none)",
      who(launch));
}

#endif
#ifdef SSA_WITH_GLOO

void wait_for_all(RollCall& roll_call, const LaunchInfo& launch, Seconds timeout) {
  const dist::Clock::time_point began = dist::Clock::now();
  std::vector<std::string> missing;
  do {
    const std::vector<PeerReport> reports = roll_call.ask(std::chrono::seconds(1));
    missing.clear();
    for (size_t rank = 0; rank < reports.size(); ++rank) {
      if (!reports[rank].joined) missing.push_back(std::to_string(rank));
    }
    if (missing.empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  } while (dist::Clock::now() - began < timeout);
  throw PeerError(
      "{}: not all ranks came within {:g} s (distributed.timeout_seconds); missing: {}. Does each "
      "machine start its ranks with the right RANK?",
      who(launch), timeout.count(), fmt::join(missing, ", "));
}

/// Finds this rank's number among those on its machine, if the variables do not tell it.
void find_neighbours(RollCall& roll_call, Seconds timeout, LaunchInfo* launch) {
  if (launch->local_size > 0) return;
  std::vector<char> host(256);
  ::gethostname(host.data(), host.size() - 1);
  const std::string own = host.data();
  roll_call.set(fmt::format("host of {}", launch->rank), own);
  launch->local_rank = 0;
  for (int rank = 0; rank < launch->size; ++rank) {
    if (roll_call.get(fmt::format("host of {}", rank), timeout) != own) continue;
    if (rank < launch->rank) ++launch->local_rank;
    ++launch->local_size;
  }
}

std::unique_ptr<Communicator> join_by_environment(LaunchInfo launch, Seconds timeout) {
  std::shared_ptr<RollCall> roll_call =
      launch.rank == 0 ? RollCall::serve(launch.size, launch.master_port)
                       : RollCall::join(launch.rank, launch.size, {launch.master_address},
                                        launch.master_port, timeout);
  wait_for_all(*roll_call, launch, timeout);
  find_neighbours(*roll_call, timeout, &launch);
  auto ranks = std::make_unique<HostCommunicator>(
      [=] { return dist::make_gloo_transport(launch, *roll_call, timeout); }, timeout, who(launch));
  ranks->set_roll_call(roll_call);
  return ranks;
}

#else

std::unique_ptr<Communicator> join_by_environment(const LaunchInfo& launch, Seconds) {
  throw ConfigError(
      "{}: started with RANK and WORLD_SIZE set, but this program was built without Gloo, which "
      "that takes. Build it with -DSSA_GLOO=ON, or use mpirun, or srun --mpi=pmix",
      who(launch));
}

#endif

}  // namespace

std::unique_ptr<Communicator> join_ranks(const LaunchInfo& launch,
                                         std::chrono::duration<double> timeout) {
  switch (launch.kind) {
    case LaunchInfo::Kind::single:
      break;
    case LaunchInfo::Kind::mpi:
      return join_by_mpi(launch, timeout);
    case LaunchInfo::Kind::environment:
      return join_by_environment(launch, timeout);
  }
  return make_single_process();
}

}  // namespace ssa
