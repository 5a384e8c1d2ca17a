// Ranks that only environment variables connect, each started by hand: what a launcher could not do
// to them.

#include <array>
#include <chrono>
#include <csignal>
#include <thread>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "dist/rank_process.h"

using namespace ssa;
using namespace ssa::testing;
using Catch::Contains;

namespace {

/// Starts one rank after the other, with arguments of its own.
struct Job {
  int size;
  int port = free_port();

  RankProcess start(int rank, const std::string& program,
                    const std::vector<std::string>& arguments) const {
    return RankProcess(
        program, arguments,
        {"RANK=" + std::to_string(rank), "WORLD_SIZE=" + std::to_string(size),
         "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + std::to_string(port), "OMP_NUM_THREADS=1"});
  }
};

}  // namespace

TEST_CASE("ranks with other configs, seeds or data end with code 2 and both values") {
  const AppRun run;
  write_bytes(run.dir / "longer.txt", sample_text(6001));
  for (const auto& [override, expected] :
       {std::pair<std::string, std::string>{"train.optimizer.lr=0.5",
                                            "train.optimizer.lr: 0.01 on rank 0; 0.5 on rank 1"},
        {"model.width=32", "model.width: 16 on rank 0; 32 on rank 1"},
        {"data.path=" + run.dir / "longer.txt", "6000 bytes on rank 0; 6001 bytes on rank 1"}}) {
    const Job job{2};
    RankProcess rank_0 = job.start(0, "ssa-train", run.train_arguments("run"));
    RankProcess rank_1 = job.start(1, "ssa-train", run.train_arguments("run", {"--set", override}));
    CHECK(rank_0.wait() == 2);
    CHECK(rank_1.wait() == 2);
    CHECK_THAT(rank_0.errors(), Contains(expected));
    CHECK_FALSE(path_exists(run.dir / "run"));
  }
}

TEST_CASE("ranks that would score different things end with code 2 and both values") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const Job job{2};
  RankProcess rank_0 =
      job.start(0, "ssa-eval", {"--run", run.dir / "run", "--mode", "ensemble", "--samples", "2"});
  RankProcess rank_1 =
      job.start(1, "ssa-eval", {"--run", run.dir / "run", "--mode", "ensemble", "--samples", "3"});
  CHECK(rank_0.wait() == 2);
  CHECK(rank_1.wait() == 2);
  CHECK_THAT(rank_0.errors(), Contains("samples: 2 on rank 0; 3 on rank 1"));
}

TEST_CASE("ranks that run different programs end with code 2 and name them") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const Job job{2};
  RankProcess rank_0 = job.start(0, "ssa-train", run.train_arguments("other"));
  RankProcess rank_1 = job.start(1, "ssa-eval", {"--run", run.dir / "run"});
  CHECK(rank_0.wait() == 2);
  CHECK(rank_1.wait() == 2);
  CHECK_THAT(rank_0.errors(), Contains("program: ssa-train ") &&
                                  Contains(" on rank 0; ssa-eval ") && Contains(" on rank 1"));
  CHECK_FALSE(path_exists(run.dir / "other"));
}

TEST_CASE("a relative path names the same folder for all ranks, or they end with code 2") {
  const AppRun run;
  REQUIRE(run.train("a/run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  REQUIRE(run.train("b/run", {"--quiet", "--set", "train.steps=2", "train.seed=7"}).code == 0);
  const auto start_in = [&](const Job& job, int rank, const std::string& folder,
                            const std::string& program, const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"--chdir=" + run.dir / folder, SSA_BIN_DIR "/" + program};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return job.start(rank, "/usr/bin/env", all);
  };
  const std::vector<std::pair<std::string, std::vector<std::string>>> commands = {
      {"ssa-train", {"--config", run.config_path, "--run-dir", "new"}},
      {"ssa-train",
       {"--config", run.config_path, "--run-dir", run.dir / "new", "--resume",
        "run/checkpoints/step-2"}},
      {"ssa-eval", {"--run", "run", "--set", "train.seed=1"}}};
  for (const auto& [program, arguments] : commands) {
    CAPTURE(program, arguments);
    const Job job{2};
    RankProcess rank_0 = start_in(job, 0, "a", program, arguments);
    RankProcess rank_1 = start_in(job, 1, "b", program, arguments);
    CHECK(rank_0.wait() == 2);
    CHECK(rank_1.wait() == 2);
    CHECK_THAT(rank_0.errors(), Contains(run.dir / "a/") && Contains(run.dir / "b/"));
  }
  CHECK_FALSE(path_exists(run.dir / "a/new"));
  const Job job{2};
  RankProcess rank_0 = start_in(job, 0, "a", "ssa-eval", {"--run", "run"});
  RankProcess rank_1 = start_in(job, 1, "b", "ssa-eval", {"--run", "../a/run/"});
  CHECK(rank_0.wait() == 0);
  CHECK(rank_1.wait() == 0);
}

TEST_CASE("a rank that does not come is named after distributed.timeout_seconds") {
  const AppRun run;
  const Job job{2};
  RankProcess rank_0 = job.start(
      0, "ssa-train", run.train_arguments("run", {"--set", "distributed.timeout_seconds=2"}));
  CHECK(rank_0.wait() == 6);
  CHECK_THAT(rank_0.errors(), Contains("within 2 s (distributed.timeout_seconds); missing: 1") &&
                                  Contains("rank 0 of 2"));
  CHECK_THAT(rank_0.errors(), !Contains("--resume"));  // there is nothing to resume
}

TEST_CASE("a signal ends a rank that waits for the others to join, with code 75") {
  const AppRun run;
  const int rank = GENERATE(0, 1);
  const Job job{2};
  RankProcess alone = job.start(rank, "ssa-train", run.train_arguments("run"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until it waits
  alone.send(SIGTERM);
  CHECK(alone.wait() == 75);
  CHECK_FALSE(path_exists(run.dir / "run"));
}

TEST_CASE("ranks train in the pods of a training operator, which tells rank 0 it is localhost") {
  const AppRun run;
  const std::string port = std::to_string(free_port());
  std::vector<RankProcess> ranks;
  for (const std::string rank : {"0", "1"}) {
    const std::vector<std::string> variables = {
        "PYTHONUNBUFFERED=1", "MASTER_PORT=" + port,
        std::string("MASTER_ADDR=") + (rank == "0" ? "localhost" : "127.0.0.1"), "WORLD_SIZE=2",
        "RANK=" + rank, "PET_NNODES=2", "PET_NODE_RANK=" + rank,
        // As on machines of their own, which reach each other by their interfaces.
        "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1", "OMP_NUM_THREADS=1"};
    ranks.emplace_back(
        "ssa-train", run.train_arguments("run", {"--quiet", "--set", "train.steps=2"}), variables);
  }
  for (RankProcess& rank : ranks) {
    CHECK(rank.wait() == 0);
    CAPTURE(rank.errors());
  }
  CHECK(path_exists(run.dir / "run/checkpoints/step-2/manifest.json"));
}

TEST_CASE("describing a config takes no other rank, and rank 0 does it") {
  const AppRun run;
  const Job job{2};
  for (const std::string option : {"--print-config", "--dry-run"}) {
    for (const int rank : {0, 1}) {
      RankProcess alone = job.start(rank, "ssa-train", {"--config", run.config_path, option});
      CHECK(alone.wait() == 0);
      CHECK(alone.line().empty() == (rank == 1));
    }
  }
}

TEST_CASE("a dry run tells the memory of each of its ranks") {
  const AppRun run;
  const Job job{2};
  const auto optimizer_bytes = [&](const std::string& sharded) {
    const std::string path = run.dir / "cost.json";
    RankProcess alone = job.start(0, "ssa-train",
                                  {"--config", run.config_path, "--dry-run", "--json", path,
                                   "--set", "distributed.shard_optimizer=" + sharded});
    CHECK(alone.wait() == 0);
    return nlohmann::json::parse(read_bytes(path))["memory_bytes"]["optimizer"].get<double>();
  };
  CHECK(optimizer_bytes("true") < 0.6 * optimizer_bytes("false"));
}

TEST_CASE("ranks under a storm of signals save together and resume to the same bits", "[slow]") {
  const AppRun run;
  const auto train = [&](const std::string& name) {
    const Job job{2};
    const std::vector<std::string> arguments =
        run.train_arguments(name, {"--quiet", "--resume", "auto", "--set", "train.steps=300",
                                   "train.eval_every=0", "train.checkpoint_every=0"});
    std::vector<RankProcess> ranks;
    for (const int rank : {0, 1}) ranks.push_back(job.start(rank, "ssa-train", arguments));
    return ranks;
  };
  for (RankProcess& rank : train("whole")) REQUIRE(rank.wait() == 0);
  const RngKey key{.seed = 5};
  uint64_t drawn = 0;
  for (const size_t begun : {3, 60, 150}) {
    std::vector<RankProcess> ranks = train("run");
    for (int i = 0; i < 6000 && run.lines_of_metrics("run") < begun; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    for (int i = 0; i < 40; ++i) {
      const std::array signals = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
      for (const RankProcess& rank : ranks) rank.send(signals[key.word(++drawn) % signals.size()]);
      std::this_thread::sleep_for(std::chrono::milliseconds(5 + key.word(++drawn) % 16));
    }
    for (RankProcess& rank : ranks) CHECK(rank.wait() == 75);
  }
  for (RankProcess& rank : train("run")) REQUIRE(rank.wait() == 0);
  CHECK((run.model_bytes("run", 300) == run.model_bytes("whole", 300)));
}
