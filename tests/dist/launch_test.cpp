#include "ssa/dist/launch.h"

#include <map>

#include <catch2/catch.hpp>

namespace ssa {
namespace {

using Variables = std::map<std::string, std::string>;
using Kind = LaunchInfo::Kind;

LaunchInfo detect(const Variables& variables) {
  return detect_launch([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

struct Case {
  std::string name;
  Variables variables;
  LaunchInfo expected;
};

const Variables kBatchScript = {{"SLURM_JOB_ID", "17"}, {"SLURM_NTASKS", "8"},
                                {"SLURM_PROCID", "0"},  {"SLURM_LOCALID", "0"},
                                {"SLURM_NODEID", "0"},  {"SLURM_NNODES", "2"}};

Variables with(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "3"},
                            {"OMPI_COMM_WORLD_SIZE", "4"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
const Variables kEnvironment = {{"RANK", "5"},
                                {"WORLD_SIZE", "8"},
                                {"LOCAL_RANK", "1"},
                                {"LOCAL_WORLD_SIZE", "4"},
                                {"MASTER_ADDR", "node1"},
                                {"MASTER_PORT", "29500"}};

/// As Kubeflow's training operator starts the pods of a PyTorchJob: rank 0 is told "localhost", no
/// pod its number on its machine. PET_… are for torchrun inside the pod.
const Variables kPyTorchJob = {{"PYTHONUNBUFFERED", "1"},
                               {"MASTER_PORT", "23456"},
                               {"MASTER_ADDR", "enwik8-master-0"},
                               {"WORLD_SIZE", "3"},
                               {"RANK", "1"},
                               {"PET_MASTER_PORT", "23456"},
                               {"PET_MASTER_ADDR", "enwik8-master-0"},
                               {"PET_NNODES", "3"},
                               {"PET_NODE_RANK", "1"},
                               {"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                               {"KUBERNETES_SERVICE_PORT", "443"}};
const Variables kTorchrun = {{"LOCAL_RANK", "1"},
                             {"RANK", "5"},
                             {"GROUP_RANK", "1"},
                             {"ROLE_RANK", "5"},
                             {"ROLE_NAME", "default"},
                             {"LOCAL_WORLD_SIZE", "4"},
                             {"WORLD_SIZE", "8"},
                             {"GROUP_WORLD_SIZE", "2"},
                             {"ROLE_WORLD_SIZE", "8"},
                             {"MASTER_ADDR", "node1"},
                             {"MASTER_PORT", "29500"},
                             {"TORCHELASTIC_RESTART_COUNT", "0"},
                             {"TORCHELASTIC_MAX_RESTARTS", "0"},
                             {"TORCHELASTIC_RUN_ID", "none"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "False"}};

const std::vector<Case> kCases = {
    {"alone", {}, {Kind::single, 0, 1, 0, 1, "", 0}},
    {"alone, with empty variables", {{"RANK", ""}, {"PMI_RANK", ""}}, {}},
    {"Open MPI", kOpenMpi, {Kind::mpi, 3, 4, 1, 2, "", 0}},
    {"Open MPI in a Slurm job", with(kBatchScript, kOpenMpi), {Kind::mpi, 3, 4, 1, 2, "", 0}},
    {"Open MPI, one process", {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}, {}},
    {"Open MPI under PMIx", with(kOpenMpi, {{"PMIX_RANK", "3"}}), {Kind::mpi, 3, 4, 1, 2, "", 0}},
    {"MPICH",
     {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}},
     {Kind::mpi, 1, 2, 1, 2, "", 0}},
    {"srun --mpi=pmi2",
     with(kBatchScript, {{"PMI_RANK", "7"}, {"PMI_SIZE", "8"}, {"SLURM_STEP_NUM_TASKS", "8"}}),
     {Kind::mpi, 7, 8, 0, 0, "", 0}},
    {"srun --mpi=pmix",
     with(kBatchScript,
          {{"PMIX_RANK", "7"}, {"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_LOCALID", "3"}}),
     {Kind::mpi, 7, 8, 3, 0, "", 0}},
    {"srun --mpi=pmix, a step smaller than the job",
     with(kBatchScript, {{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}}),
     {Kind::mpi, 1, 2, 0, 0, "", 0}},
    {"srun --mpi=pmix, an older Slurm",
     with(kBatchScript, {{"PMIX_RANK", "7"}}),
     {Kind::mpi, 7, 8, 0, 0, "", 0}},
    {"srun --mpi=pmix, one task",
     with(kBatchScript, {{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}),
     {}},
    {"another launcher with PMIx", {{"PMIX_RANK", "2"}}, {Kind::mpi, 2, 0, 0, 0, "", 0}},
    {"the script of a Slurm job", kBatchScript, {}},
    {"an interactive step of one task", with(kBatchScript, {{"SLURM_STEP_NUM_TASKS", "1"}}), {}},
    {"environment", kEnvironment, {Kind::environment, 5, 8, 1, 4, "node1", 29500}},
    {"environment in a Slurm step without PMI",
     with(with(kBatchScript, {{"SLURM_STEP_NUM_TASKS", "8"}}), kEnvironment),
     {Kind::environment, 5, 8, 1, 4, "node1", 29500}},
    {"environment without local ranks",
     {{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"MASTER_ADDR", "node1"}, {"MASTER_PORT", "29500"}},
     {Kind::environment, 5, 8, 0, 0, "node1", 29500}},
    {"a worker of a PyTorchJob",
     kPyTorchJob,
     {Kind::environment, 1, 3, 0, 0, "enwik8-master-0", 23456}},
    {"the master of a PyTorchJob",
     with(kPyTorchJob, {{"RANK", "0"}, {"MASTER_ADDR", "localhost"}}),
     {Kind::environment, 0, 3, 0, 0, "localhost", 23456}},
    {"a PyTorchJob of a master alone",
     with(kPyTorchJob, {{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"MASTER_ADDR", "localhost"}}),
     {}},
    {"torchrun", kTorchrun, {Kind::environment, 5, 8, 1, 4, "node1", 29500}},
    {"torchrun, whose agent listens on MASTER_PORT",
     with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}),
     {Kind::environment, 5, 8, 1, 4, "node1", 29501}},
    {"environment of one", {{"RANK", "0"}, {"WORLD_SIZE", "1"}}, {}},
    {"environment under mpirun", with(kEnvironment, kOpenMpi), {Kind::mpi, 3, 4, 1, 2, "", 0}},
};

TEST_CASE("The environment tells how a process was started", "[dist]") {
  for (const Case& one : kCases) {
    INFO(one.name);
    const LaunchInfo launch = detect(one.variables);
    CHECK(launch.kind == one.expected.kind);
    CHECK(launch.rank == one.expected.rank);
    CHECK(launch.size == one.expected.size);
    CHECK(launch.local_rank == one.expected.local_rank);
    CHECK(launch.local_size == one.expected.local_size);
    CHECK(launch.master_address == one.expected.master_address);
    CHECK(launch.master_port == one.expected.master_port);
  }
}

struct Mistake {
  Variables variables;
  std::string message;
};

const std::vector<Mistake> kMistakes = {
    {{{"RANK", "0"}}, "environment: RANK is set, but not WORLD_SIZE: set both or none"},
    {{{"WORLD_SIZE", "2"}}, "environment: WORLD_SIZE is set, but not RANK: set both or none"},
    {with(kEnvironment, {{"RANK", "8"}}),
     "environment: RANK is 8, but WORLD_SIZE is 8: ranks count from 0"},
    {with(kEnvironment, {{"LOCAL_RANK", "4"}}), "LOCAL_RANK is 4, but LOCAL_WORLD_SIZE is 4"},
    {with(kEnvironment, {{"RANK", "-1"}}), "environment: RANK is '-1', not a whole number from 0"},
    {with(kEnvironment, {{"WORLD_SIZE", "8x"}}), "WORLD_SIZE is '8x', not a whole number"},
    {with(kEnvironment, {{"WORLD_SIZE", "99999999999"}}), "WORLD_SIZE is '99999999999'"},
    {with(kEnvironment, {{"WORLD_SIZE", "1000000000"}}), "WORLD_SIZE is 1000000000; at most 65536"},
    {{{"PMIX_RANK", "8"}, {"SLURM_NTASKS", "99999"}}, "SLURM_NTASKS is 99999; at most 65536"},
    {with(kEnvironment, {{"WORLD_SIZE", "0"}}), "RANK is 5, but WORLD_SIZE is 0"},
    {with(kEnvironment, {{"MASTER_ADDR", ""}}), "RANK is set, but not MASTER_ADDR"},
    {with(kEnvironment, {{"MASTER_PORT", ""}}), "RANK is set, but not MASTER_PORT"},
    {with(kEnvironment, {{"MASTER_PORT", "0"}}), "MASTER_PORT is 0, not a port"},
    {with(kEnvironment, {{"MASTER_PORT", "65536"}}), "MASTER_PORT is 65536, not a port"},
    {{{"PMI_RANK", "1"}}, "PMI_RANK is set, but not PMI_SIZE"},
    {{{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}},
     "OMPI_COMM_WORLD_RANK is 4, but OMPI_COMM_WORLD_SIZE is 4"},
    {{{"PMIX_RANK", "8"}, {"SLURM_NTASKS", "8"}}, "PMIX_RANK is 8, but SLURM_NTASKS is 8"},
    {with(kBatchScript, {{"SLURM_STEP_NUM_TASKS", "8"}}), "srun --mpi=pmix"},
};

TEST_CASE("The processes of a job have its name in common", "[dist]") {
  CHECK(detect(kOpenMpi).job.empty());
  CHECK(detect(with(kOpenMpi, {{"PMIX_NAMESPACE", "17"}})).job == "17");
  CHECK(detect(with(kBatchScript, {{"PMIX_RANK", "7"}, {"SLURM_STEP_ID", "2"}})).job == "17.2");
}

TEST_CASE("What is missing or makes no sense in the environment is named", "[dist]") {
  for (const Mistake& mistake : kMistakes) {
    CHECK_THROWS_AS(detect(mistake.variables), ConfigError);
    CHECK_THROWS_WITH(detect(mistake.variables), Catch::Matchers::Contains(mistake.message));
  }
}

TEST_CASE("A process that was started alone joins nobody", "[dist]") {
  CHECK(join_ranks(LaunchInfo{})->size() == 1);
}

}  // namespace
}  // namespace ssa
