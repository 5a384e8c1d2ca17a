#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Saves a checkpoint again as three ranks would, each with a share of the optimizer.
void shard_checkpoint(const std::string& folder, int64_t step) {
  const std::string path = fmt::format("{}/checkpoints/step-{}", folder, step);
  const auto tensors_of = [&](const std::string& name) {
    const SafetensorsFile file(path + "/" + name);
    std::vector<NamedTensor> tensors;
    for (const std::string& tensor : file.names()) {
      tensors.push_back({tensor, file.load(tensor, Device::cpu, MemoryCategory::data)});
    }
    return tensors;
  };
  save_sharded(folder,
               {.step = step,
                .model = tensors_of("model.safetensors"),
                .optimizer = tensors_of("optimizer.safetensors"),
                .state_json = read_bytes(path + "/state.json"),
                .config_yaml = read_bytes(path + "/config.yaml")},
               3, 20);
}

/// Saves the newest checkpoint again with all weights of one name set to `value`.
void ruin_weights(const std::string& folder, int64_t step, const std::string& name, float value) {
  const std::string path = fmt::format("{}/checkpoints/step-{}", folder, step);
  const SafetensorsFile file(path + "/model.safetensors");
  CheckpointData data;
  data.step = step;
  data.state_json = read_bytes(path + "/state.json");
  for (const std::string& tensor : file.names()) {
    Tensor values = file.load(tensor, Device::cpu, MemoryCategory::data);
    if (contains(tensor, name)) std::fill_n(values.data<float>(), values.numel(), value);
    data.model.push_back({tensor, values});
  }
  const SafetensorsFile moments(path + "/optimizer.safetensors");
  for (const std::string& tensor : moments.names()) {
    data.optimizer.push_back({tensor, moments.load(tensor, Device::cpu, MemoryCategory::data)});
  }
  save_checkpoint(folder, data, 20);
}

/// Saves the newest checkpoint again with an element of the optimizer's state set to NaN.
void ruin_optimizer(const std::string& folder, int64_t step, const std::string& name) {
  const std::string path = fmt::format("{}/checkpoints/step-{}", folder, step);
  const SafetensorsFile model(path + "/model.safetensors"),
      moments(path + "/optimizer.safetensors");
  CheckpointData data;
  data.step = step;
  data.state_json = read_bytes(path + "/state.json");
  for (const std::string& tensor : model.names()) {
    data.model.push_back({tensor, model.load(tensor, Device::cpu, MemoryCategory::data)});
  }
  for (const std::string& tensor : moments.names()) {
    Tensor values = moments.load(tensor, Device::cpu, MemoryCategory::data);
    if (tensor == name) values.data<float>()[1] = NAN;
    data.optimizer.push_back({tensor, values});
  }
  save_checkpoint(folder, data, 20);
}

}  // namespace

TEST_CASE("a state of the optimizer that is not finite is not trained on with: code 5") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  ruin_optimizer(run.dir / "run", 2, "second_moment.blocks.1.ffn_norm.weight");
  const size_t steps_done = run.lines_of_metrics("run");
  const Finished resumed = run.train("run", {"--resume", "auto"});
  CHECK(resumed.code == 5);
  CHECK(contains(resumed.err, "element 1 of second_moment.blocks.1.ffn_norm.weight is nan"));
  CHECK(run.lines_of_metrics("run") == steps_done);
  // Weights are all that scores need.
  CHECK(run_program("ssa-eval", {"--run", run.dir / "run"}).code == 0);
}

TEST_CASE("weights and scores that are not finite are code 5, never a result") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const std::string folder = run.dir / "run";
  const auto refused = [&](const std::string& program, const std::vector<std::string>& arguments) {
    const Finished finished = run_program(program, arguments);
    CAPTURE(program, finished.out);
    CHECK(finished.code == 5);
    CHECK_FALSE(contains(finished.out, "nan"));
    return finished.err;
  };
  ruin_weights(folder, 2, "blocks.1.", NAN);
  const size_t steps_done = run.lines_of_metrics("run");
  for (const std::string& message :
       {refused("ssa-eval", {"--run", folder}),
        refused("ssa-train", run.train_arguments("run", {"--resume", "auto"})),
        refused("ssa-generate", {"--run", folder, "--length", "5"})}) {
    CHECK(contains(message, "step-2: element 0 of blocks.1."));
    CHECK(contains(message, " is nan"));
  }
  CHECK(run.lines_of_metrics("run") == steps_done);  // nothing was trained
  ruin_weights(folder, 2, "blocks.", 1e30F);         // finite, but no product with them is
  CHECK(contains(refused("ssa-eval", {"--run", folder}), "loss over the test split is"));
  CHECK(contains(refused("ssa-generate", {"--run", folder, "--length", "5"}), "prediction"));
  CHECK_FALSE(path_exists(folder + "/eval-renorm-test.json"));
}

TEST_CASE("a damaged checkpoint: the one before is used, named directly, it is code 4") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const std::string folder = run.dir / "run", last = folder + "/checkpoints/step-2";
  flip_bit(last + "/model.safetensors");

  const Finished direct = run_program(
      "ssa-eval", {"--checkpoint", last, "--config", folder + "/config.yaml", "--json", "-"});
  CAPTURE(direct.err);
  CHECK(direct.code == 4);
  CHECK(direct.out.empty());
  CHECK(contains(direct.err, last + "/model.safetensors is damaged"));

  const Finished earlier = run_program("ssa-eval", {"--run", folder, "--json", "-"});
  CHECK(earlier.code == 0);
  CHECK(contains(earlier.err, last + "/model.safetensors is damaged"));
  CHECK(nlohmann::json::parse(earlier.out)["step"] == 1);

  flip_bit(folder + "/checkpoints/step-1/optimizer.safetensors");
  const Finished resumed = run.train("run", {"--resume", "auto"});
  CHECK(resumed.code == 4);
  CHECK(contains(resumed.err, "step-2/model.safetensors"));
  CHECK(contains(resumed.err, "step-1/optimizer.safetensors"));
  CHECK(run_program("ssa-generate", {"--run", folder, "--length", "1"}).code == 4);
}

TEST_CASE("a sharded checkpoint is resumed bit by bit; with a damaged shard, the one before") {
  const AppRun run;
  for (const char* name : {"whole", "sharded", "damaged"}) {
    REQUIRE(run.train(name, {"--quiet", "--set", "train.steps=2"}).code == 0);
    if (std::string(name) != "whole") shard_checkpoint(run.dir / name, 2);
  }
  const std::vector<std::string> resume = {"--resume", "auto", "--set", "train.steps=4"};
  REQUIRE(run.train("whole", resume).code == 0);
  const Finished sharded = run.train("sharded", resume);
  CHECK(sharded.code == 0);
  CHECK(contains(sharded.err, "step-2 (step 2)"));
  CHECK((run.model_bytes("sharded", 4) == run.model_bytes("whole", 4)));

  const std::string shard =
      run.dir / "damaged/checkpoints/step-2/optimizer-00003-of-00003.safetensors";
  flip_bit(shard);
  const Finished damaged = run.train("damaged", resume);
  CHECK(damaged.code == 0);
  CHECK(contains(damaged.err, shard + " is damaged"));
  CHECK(contains(damaged.err, "step-1 is used instead"));
  CHECK(path_exists(run.dir / "damaged/checkpoints/step-4"));
}

TEST_CASE("a checkpoint that is not there is code 4, one of another model code 2") {
  const AppRun run;
  const Finished missing =
      run_program("ssa-eval", {"--checkpoint", run.dir / "none", "--config", run.config_path});
  CHECK(missing.code == 4);
  CHECK(contains(missing.err, run.dir / "none"));
  CHECK(run.train("new", {"--resume", run.dir / "none"}).code == 4);
  CHECK_FALSE(path_exists(run.dir / "new"));

  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const Finished other =
      run_program("ssa-eval", {"--checkpoint", run.dir / "run/checkpoints/step-2", "--config",
                               run.config_path, "--set", "model.layers=3"});
  CHECK(other.code == 2);
  CHECK(contains(other.err, "model.layers: there 2, now 3"));
}

TEST_CASE("an existing run is only continued when asked to: code 2") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const std::string before = run.model_bytes("run", 2);
  const Finished again = run.train("run", {"--set", "train.steps=2"});
  CHECK(again.code == 2);
  CHECK(contains(again.err, "--resume auto"));
  CHECK((run.model_bytes("run", 2) == before));
  CHECK(run.train("run", {"--quiet", "--resume", "auto", "--set", "train.steps=3"}).code == 0);
  CHECK(path_exists(run.dir / "run/checkpoints/step-3"));
}

TEST_CASE("training that blows up is code 5 and says what to change") {
  const AppRun run;
  const Finished finished = run.train(
      "run", {"--set", "train.optimizer.lr=1e30", "train.schedule.warmup_steps=0",
              "train.max_skipped_steps=2", "train.max_rollbacks=0", "train.eval_every=0"});
  CHECK(finished.code == 5);
  CHECK(contains(finished.err, "train.max_skipped_steps"));
  CHECK(contains(finished.err, "train.optimizer.lr"));
  const size_t message = finished.err.find("updates in a row were not finite");
  REQUIRE(message != std::string::npos);
  CHECK(finished.err.find("updates in a row were not finite", message + 1) == std::string::npos);
  CHECK(contains(read_bytes(run.dir / "run/log.txt"), "updates in a row were not finite"));
}
