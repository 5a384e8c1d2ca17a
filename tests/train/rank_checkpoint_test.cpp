// Checkpoints that ranks, which are threads, save together and load on other numbers of ranks.

#include "ssa/train/rank_checkpoint.h"

#include "ssa/train/gradient_reducer.h"

#include "dist/thread_ranks.h"
#include "storage/checkpoint_fixture.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A rank's parameters and optimizer.
struct Rank {
  Rank(Communicator& ranks, bool sharded, OptimizerKind kind = OptimizerKind::adam)
      : store(Device::cpu, DType::f32, 5), config{.bucket_mib = 0, .shard_optimizer = sharded} {
    store.add("embedding.weight", {37, 11}, Init::normal(1.0));
    store.add("blocks.0.weight", {10, 13}, Init::normal(1.0));
    store.add("blocks.0.bias", {5}, Init::normal(1.0));  // less than a share
    reducer.emplace(store, ranks, config);
    OptimizerConfig of_kind;
    of_kind.kind = kind;
    optimizer.emplace(of_kind, store, reducer->pieces());
  }

  CheckpointData data(int64_t step) const {
    CheckpointData result;
    result.step = step;
    for (const Parameter& parameter : store.all()) {
      result.model.push_back({parameter.name, parameter.variable.value()});
    }
    for (const Optimizer::State& state : optimizer->state()) {
      result.optimizer.push_back({state.name, state.tensor});
    }
    result.state_json = fmt::format("{{\"step\":{}}}", step);
    return result;
  }

  ParameterStore store;
  DistributedConfig config;
  std::optional<GradientReducer> reducer;
  std::optional<Optimizer> optimizer;
};

/// Element k of a state tensor as these tests save it.
float saved_value(const std::string& whole, int64_t k) {
  return static_cast<float>(std::hash<std::string>{}(whole) % 1000) + static_cast<float>(k) / 1024;
}

void fill_state(const Rank& rank) {
  for (const Optimizer::State& state : rank.optimizer->state()) {
    Tensor tensor = state.tensor;
    float* data = tensor.data<float>();
    for (int64_t k = 0; k < tensor.numel(); ++k) {
      data[k] = saved_value(state.whole, state.piece.begin + k);
    }
  }
}

int64_t wrong_elements(const Rank& rank) {
  int64_t wrong = 0;
  for (const Optimizer::State& state : rank.optimizer->state()) {
    const Tensor tensor = state.tensor;
    const float* data = tensor.data<float>();
    for (int64_t k = 0; k < tensor.numel(); ++k) {
      wrong += data[k] != saved_value(state.whole, state.piece.begin + k);
    }
  }
  return wrong;
}

void save_on(int size, const std::string& run_dir, bool sharded, int64_t step) {
  ssa::testing::on_ranks(size, [&](Communicator& ranks) {
    const Rank rank(ranks, sharded);
    fill_state(rank);
    save_checkpoint(ranks, run_dir, rank.data(step), sharded, 2);
  });
}

std::vector<std::string> files_of(const std::string& checkpoint) {
  return list_directory(checkpoint);
}

}  // namespace

TEST_CASE("rank checkpoint: any number of ranks loads what another has saved, sharded or not") {
  const bool sharded = GENERATE(true, false);
  const int size = GENERATE(1, 2, 3);
  CAPTURE(sharded, size);
  const TempDir run;
  save_on(size, run.path(), sharded, 7);
  const std::string path = run / "checkpoints/step-7";
  const std::vector<std::string> files = files_of(path);
  CHECK(files.size() == (sharded ? 3 + static_cast<size_t>(size) : 4));
  const bool several = sharded && size == 3;
  CHECK(path_exists(path + (several                ? "/optimizer-00002-of-00003.safetensors"
                            : sharded && size == 2 ? "/optimizer-00002-of-00002.safetensors"
                                                   : "/optimizer.safetensors")));

  for (const int loading : {1, 2, 3, 4}) {
    for (const bool into_shards : {true, false}) {
      CAPTURE(loading, into_shards);
      std::vector<int64_t> wrong(static_cast<size_t>(loading), -1);
      ssa::testing::on_ranks(loading, [&](Communicator& ranks) {
        Rank rank(ranks, into_shards);
        load_optimizer_state(open_checkpoint(path), *rank.optimizer);
        wrong[static_cast<size_t>(ranks.rank())] = wrong_elements(rank);
      });
      CHECK(wrong == std::vector<int64_t>(static_cast<size_t>(loading), 0));
    }
  }
}

TEST_CASE("rank checkpoint: one process saves the files it always has") {
  const TempDir alone, plain;
  save_on(1, alone.path(), false, 3);
  const auto ranks = make_single_process();
  const Rank rank(*ranks, false);
  fill_state(rank);
  save_checkpoint(plain.path(), rank.data(3), 2);
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}) {
    const std::string path = std::string("checkpoints/step-3/") + file;
    CHECK((read_bytes(alone / path) == read_bytes(plain / path)));
  }
}

TEST_CASE("rank checkpoint: a write that fails on one rank fails the save on all") {
  const bool sharded = GENERATE(true, false);
  const TempDir run;
  save_on(3, run.path(), sharded, 1);
  // Of rank 1's shard; of the only file; of what rank 0 writes beside; of the manifest.
  const std::string failing = sharded ? GENERATE("optimizer-00002-of-00003.safetensors",
                                                 "model.safetensors", "manifest.json")
                                      : GENERATE("optimizer.safetensors", "state.json");
  const std::string culprit = failing == "optimizer-00002-of-00003.safetensors" ? "1" : "0";
  CAPTURE(sharded, failing);
  std::vector<std::string> messages(3);
  {
    const HookGuard hook([&](FileOp op, const std::string& path) {
      return FileFault{op == FileOp::sync && path.ends_with(failing) ? ENOSPC : 0, false};
    });
    ssa::testing::on_ranks(3, [&](Communicator& ranks) {
      const Rank rank(ranks, sharded);
      fill_state(rank);
      try {
        save_checkpoint(ranks, run.path(), rank.data(2), sharded, 2);
      } catch (const Error& error) {
        if (error.code() == ExitCode::checkpoint) {
          messages[static_cast<size_t>(ranks.rank())] = error.what();
        }
      }
    });
  }
  for (size_t rank = 0; rank < 3; ++rank) {
    CAPTURE(rank, messages[rank]);
    CHECK(contains(messages[rank], failing));
    CHECK(contains(messages[rank], "No space left"));
    const bool own = std::to_string(rank) == culprit;
    CHECK(messages[rank].starts_with("rank " + culprit + ": ") == !own);
  }
  // The one before is what there is, and the next save works.
  CHECK(list_directory(run / "checkpoints") == std::vector<std::string>{"latest", "step-1"});
  CHECK(find_latest_checkpoint(run.path(), nullptr)->step == 1);
  save_on(2, run.path(), sharded, 3);
  CHECK(find_latest_checkpoint(run.path(), nullptr)->step == 3);
}

TEST_CASE("rank checkpoint: state of another model or optimizer is refused") {
  const TempDir run;
  save_on(3, run.path(), true, 1);
  const LoadedCheckpoint checkpoint = open_checkpoint(run / "checkpoints/step-1");
  const auto ranks = make_single_process();
  const Rank sgd(*ranks, false, OptimizerKind::sgd);
  Optimizer momentum = *sgd.optimizer;
  require_checkpoint_error([&] { load_optimizer_state(checkpoint, momentum); },
                           {"momentum.embedding.weight", "optimizer-00001-of-00003.safetensors"});
  ParameterStore wider(Device::cpu, DType::f32, 5);
  wider.add("embedding.weight", {37, 12}, Init::zeros());
  Optimizer other({}, wider);
  require_checkpoint_error(
      [&] { load_optimizer_state(checkpoint, other); },
      {"first_moment.embedding.weight", "407", "444", "-of-00003.safetensors"});
}
