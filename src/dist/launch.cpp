#include "ssa/dist/launch.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>

namespace ssa {

namespace {

using Variable = std::function<const char*(const char*)>;

std::optional<std::string> text_of(const Variable& variable, const char* name) {
  const char* text = name ? variable(name) : nullptr;
  if (!text || !*text) return std::nullopt;
  return std::string(text);
}

std::optional<int> number_of(const Variable& variable, const char* name) {
  const std::optional<std::string> text = text_of(variable, name);
  if (!text) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number < 0) {
    throw ConfigError("environment: {} is '{}', not a whole number from 0", name, *text);
  }
  return number;
}

int needed_number(const Variable& variable, const char* name, const char* because_of) {
  const std::optional<int> number = number_of(variable, name);
  if (!number) {
    throw ConfigError("environment: {} is set, but not {}: set both or none", because_of, name);
  }
  return *number;
}

void check_rank(const char* rank_name, int rank, const char* size_name, int size) {
  if (rank < size) return;
  throw ConfigError("environment: {} is {}, but {} is {}: ranks count from 0", rank_name, rank,
                    size_name, size);
}

/// Tables of all ranks are made of this number: a mistyped one must not exhaust the memory.
void check_size(const char* name, int size) {
  constexpr int kMostRanks = 1 << 16;
  if (size <= kMostRanks) return;
  throw ConfigError("environment: {} is {}; at most {} ranks can train together", name, size,
                    kMostRanks);
}

/// What the processes of a job have in common, and those of no other job.
std::string job_of(const Variable& variable) {
  for (const char* name : {"PMIX_NAMESPACE", "PMI_JOBID"}) {
    if (const std::optional<std::string> job = text_of(variable, name)) return *job;
  }
  const std::optional<std::string> job = text_of(variable, "SLURM_JOB_ID");
  return job ? *job + "." + text_of(variable, "SLURM_STEP_ID").value_or("") : "";
}

/// The variables by which a launcher tells a process its rank.
struct Launcher {
  const char *rank, *size, *local_rank, *local_size;
};
constexpr std::array<Launcher, 2> kMpiLaunchers = {{
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},                                 // Open MPI
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"}  // MPICH, Intel MPI, srun's pmi2
}};
constexpr Launcher kEnvironment = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};

LaunchInfo info_from(const Variable& variable, const Launcher& launcher, LaunchInfo::Kind kind) {
  LaunchInfo info;
  info.rank = needed_number(variable, launcher.rank, launcher.size);
  info.size = needed_number(variable, launcher.size, launcher.rank);
  check_rank(launcher.rank, info.rank, launcher.size, info.size);
  check_size(launcher.size, info.size);
  if (info.size == 1) return {};
  info.kind = kind;
  if (kind == LaunchInfo::Kind::mpi) info.job = job_of(variable);
  info.local_rank = number_of(variable, launcher.local_rank).value_or(0);
  info.local_size = number_of(variable, launcher.local_size).value_or(0);
  if (info.local_size > 0) {
    check_rank(launcher.local_rank, info.local_rank, launcher.local_size, info.local_size);
  }
  return info;
}

/// PMIx tells only the rank; Slurm's variable tells the number of ranks.
LaunchInfo info_from_pmix(const Variable& variable) {
  LaunchInfo info;
  info.kind = LaunchInfo::Kind::mpi;
  info.rank = number_of(variable, "PMIX_RANK").value();
  info.job = job_of(variable);
  for (const char* name : {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    const std::optional<int> size = number_of(variable, name);
    if (!size) continue;
    check_rank("PMIX_RANK", info.rank, name, *size);
    check_size(name, *size);
    if (*size == 1) return {};
    info.size = *size;
    info.local_rank = number_of(variable, "SLURM_LOCALID").value_or(0);
    info.local_size = 0;
    return info;
  }
  info.size = info.local_size = 0;
  return info;
}

LaunchInfo info_from_environment(const Variable& variable) {
  LaunchInfo info = info_from(variable, kEnvironment, LaunchInfo::Kind::environment);
  if (info.kind == LaunchInfo::Kind::single) return info;
  info.master_port = needed_number(variable, "MASTER_PORT", "RANK");
  if (info.master_port < 1 || info.master_port > 65535) {
    throw ConfigError("environment: MASTER_PORT is {}, not a port (1 … 65535)", info.master_port);
  }
  const std::optional<std::string> address = text_of(variable, "MASTER_ADDR");
  if (!address) {
    throw ConfigError("environment: RANK is set, but not MASTER_ADDR, the machine of rank 0");
  }
  info.master_address = *address;
  // Under torchrun its own agent may listen on MASTER_PORT, and says so.
  if (text_of(variable, "TORCHELASTIC_USE_AGENT_STORE") == "True") {
    info.master_port += info.master_port < 65535 ? 1 : -1;
  }
  return info;
}

}  // namespace

LaunchInfo detect_launch(const Variable& variable) {
  for (const Launcher& launcher : kMpiLaunchers) {
    if (text_of(variable, launcher.rank)) {
      return info_from(variable, launcher, LaunchInfo::Kind::mpi);
    }
  }
  if (text_of(variable, "PMIX_RANK")) return info_from_pmix(variable);
  if (text_of(variable, kEnvironment.rank) || text_of(variable, kEnvironment.size)) {
    return info_from_environment(variable);
  }
  // Set by srun for the tasks of a step, and not for the script of a job.
  const int tasks = number_of(variable, "SLURM_STEP_NUM_TASKS").value_or(1);
  if (tasks > 1) {
    throw ConfigError(
        "Slurm started {} tasks (SLURM_STEP_NUM_TASKS) but nothing by which they find each other, "
        "so that each would run alone. Use srun --mpi=pmix (srun --mpi=list shows what this "
        "cluster has), or set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT",
        tasks);
  }
  return {};
}

LaunchInfo detect_launch() {
  return detect_launch([](const char* name) { return std::getenv(name); });
}

}  // namespace ssa
