// The layout `ssa`: a checkpoint in one file.

#include <nlohmann/json.hpp>

#include "ssa/config/config_json.h"
#include "ssa/convert/convert.h"
#include "ssa/core/version.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/load.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/run_state.h"

#include "support/tensors.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

struct SavedRun : TinyRun {
  CheckpointData data;
  std::string file = dir / "model.safetensors";

  SavedRun() {
    const Config now = config({"train.micro_batch=auto", "train.optimizer.eps=1e-8"});
    RunState state = initial_state(now, {.bytes = 6000,
                                         .checksum = "0123",
                                         .vocabulary_checksum = {},
                                         .name = "words",
                                         .path = text_path});
    state.step = 7;
    data.step = 7;
    data.model = {{"embedding.weight", random_tensor({256, 16}, DType::f32, 1)},
                  {"final_norm.bias", random_tensor({16}, DType::f32, 2)}};
    data.optimizer = {{"first_moment.final_norm.bias", random_tensor({16}, DType::f32, 3)}};
    data.state_json = to_json(state);
    data.config_yaml = dump_config(now);
  }
  void save() const { save_checkpoint(dir / "run", data, 1); }
  void export_to_file(const std::string& weights = {}) const {
    export_weights({.layout = "ssa",
                    .run = dir / "run",
                    .checkpoint = {},
                    .output = file,
                    .weights = weights});
  }
};

}  // namespace

TEST_CASE("a file of the layout ssa is a checkpoint") {
  const SavedRun run;
  run.save();
  run.export_to_file();
  const LoadedCheckpoint checkpoint = open_checkpoint(run.file);
  CHECK(checkpoint.step == 7);
  CHECK(same_tensors(checkpoint.model, run.data.model));
  CHECK_FALSE(checkpoint.average);
  CHECK(checkpoint.optimizer.names().empty());
  const RunState state = run_state_of(checkpoint);
  CHECK(state.step == 7);
  CHECK(state.data.checksum == "0123");
  CHECK(*config_of(checkpoint) == parse_config(run.data.config_yaml, "config.yaml"));
  CHECK(config_in_weights_file(run.file, {"eval.samples=3"}).eval.samples == 3);
}

TEST_CASE("the metadata of the layout ssa say what the weights are") {
  const SavedRun run;
  run.save();
  run.export_to_file();
  const SafetensorsMetadata metadata = SafetensorsFile(run.file).metadata();
  CHECK(metadata.at("format") == "ssa");
  CHECK(metadata.at("step") == "7");
  CHECK(metadata.at("weights") == "trained");
  CHECK(metadata.at("version") == git_commit());
  CHECK_FALSE(metadata.contains("vocabulary"));
  const json data = json::parse(metadata.at("data"));
  CHECK(data["bytes"] == 6000);
  CHECK(data["name"] == "words");
  CHECK(read_bytes(run.dir / "run/checkpoints/step-7/state.json").find("text.txt") !=
        std::string::npos);
  CHECK(metadata.at("state").find("text.txt") == std::string::npos);  // a path of this machine
  const json config = json::parse(metadata.at("config"));
  CHECK(config["task"] == "byte_lm");
  CHECK(config["model"]["width"] == 16);
  CHECK(config["model"]["dropout"] == 0.1);
  CHECK(config["ssa"]["sigma"]["last"] == 0.3);
  CHECK(config["train"]["micro_batch"] == "auto");
  CHECK(config["train"]["optimizer"]["betas"] == json::array({0.9, 0.999}));
  CHECK(config["model"]["final_norm"] == true);
  CHECK_FALSE(config["model"].contains("swin"));
}

TEST_CASE("a config as JSON is the same config") {
  const TempDir dir;
  for (const char* text :
       {"task: byte_lm\ndata: {path: \"a \\\"b\\\" \\u00e9\\n\"}\ntrain: {optimizer: {eps: 1e-8}}",
        "task: image_generation\nmodel: {position: relative_2d}\ndata: {path: x, augment: [color]}",
        "task: image_classification\ndata: {path: x, classes: 3}",
        "task: graph_regression\ndata: {path: x}\nssa: {kind: local, sigma: 1000000000000}",
        "task: word_lm\ndata: {path: x}\nmodel: {embedding: {kind: adaptive, cutoffs: [7, 9]}}"}) {
    CAPTURE(text);
    const Config config = parse_config(text, "a.yaml");
    CHECK(parse_config(config_json(config), "a.json") == config);
  }
}

TEST_CASE("the average of the weights is exported where there is one") {
  SavedRun run;
  run.data.average = {{"embedding.weight", random_tensor({256, 16}, DType::f32, 5)},
                      {"final_norm.bias", random_tensor({16}, DType::f32, 6)}};
  run.save();
  run.export_to_file();
  const LoadedCheckpoint average = open_checkpoint(run.file);
  REQUIRE(average.average);
  CHECK(average.only_average);
  CHECK(same_tensors(*average.average, run.data.average));
  run.export_to_file("trained");
  const LoadedCheckpoint trained = open_checkpoint(run.file);
  CHECK_FALSE(trained.average);
  CHECK(same_tensors(trained.model, run.data.model));

  const SavedRun without;
  without.save();
  CHECK(message_of<ConfigError>([&] { without.export_to_file("average"); }).find("ema_decay") !=
        std::string::npos);
}

TEST_CASE("another program's file is no checkpoint") {
  const TempDir dir;
  write_safetensors(dir / "pt.safetensors", {{"a", random_tensor({2}, DType::f32, 1)}},
                    {{"format", "pt"}});
  require_checkpoint_error([&] { open_checkpoint(dir / "pt.safetensors"); },
                           {"pt.safetensors is no checkpoint", "ssa-convert import"});
  const SavedRun run;
  run.save();
  run.export_to_file();
  SafetensorsMetadata metadata = SafetensorsFile(run.file).metadata();
  const auto refused = [&](const std::string& part) {
    write_safetensors(dir / "bad.safetensors", run.data.model, metadata);
    require_checkpoint_error([&] { open_checkpoint(dir / "bad.safetensors"); },
                             {"bad.safetensors", part});
  };
  metadata["step"] = "7x";
  refused("'7x', not a whole number");
  metadata.erase("step");
  refused("have no \"step\"");
}
