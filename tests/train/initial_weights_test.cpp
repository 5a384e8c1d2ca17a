// Runs that start from the weights of others: train.init_from.

#include "ssa/train/initial_weights.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "dist/thread_ranks.h"
#include "train/captured_log.h"
#include "train/train_run.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A finished run of three steps, whose best checkpoint is not its newest.
struct Origin : TinyRun {
  std::string folder = dir / "origin";

  explicit Origin(const Overrides& overrides = {}) {
    spdlog::set_level(spdlog::level::off);
    REQUIRE(train(config(Overrides{"train.steps=3"} + overrides), folder) ==
            TrainOutcome::finished);
  }
  std::string file(const std::string& name = "model") const {
    return folder + "/checkpoints/step-3/" + name + ".safetensors";
  }
  /// A config that starts from something, with rate 0: the weights stay what they were.
  Config from(const std::string& what, const Overrides& overrides = {}) const {
    return config(Overrides{"train.init_from=" + what, "train.optimizer.lr=0", "train.steps=1",
                            "train.schedule.warmup_steps=0"} +
                  overrides);
  }
};

std::string weights_of(const std::string& run, int step = 1) {
  const SafetensorsFile file(fmt::format("{}/checkpoints/step-{}/model.safetensors", run, step));
  std::string bytes;
  for (const std::string& name : file.names()) {
    const Tensor tensor = file.load(name, Device::cpu, MemoryCategory::data);
    bytes += name + std::string(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
  }
  return bytes;
}

nlohmann::json state_of(const std::string& run) {
  return nlohmann::json::parse(open_checkpoint(run, "latest").state_json);
}

std::string log_of(const Config& config, const std::string& folder,
                   const std::string& resume = "none") {
  const Log log;
  spdlog::set_level(spdlog::level::info);
  REQUIRE(train(config, folder, resume) == TrainOutcome::finished);
  spdlog::set_level(spdlog::level::off);
  return log.text();
}

template <class Error>
std::string refusal(const Config& config, const std::string& folder) {
  const std::string message = message_of<Error>([&] { train(config, folder); });
  CHECK_FALSE(path_exists(folder));  // a wrong config leaves no folder behind
  return message;
}

}  // namespace

TEST_CASE("a run starts from a run, a checkpoint or a file, with everything else its own") {
  const Origin origin;
  for (const std::string& what : {origin.folder, origin.folder + "/checkpoints/step-3",
                                  origin.folder + "/checkpoints/latest", origin.file()}) {
    CAPTURE(what);
    const std::string folder =
        origin.dir / std::filesystem::path(what).filename().string() + "-new";
    const std::string log =
        log_of(origin.from(what, {"train.seed=9", "train.batch_size=8", "data.length=16",
                                  "eval.length=16", "eval.overlap=0"}),
               folder);
    CAPTURE(log);
    CHECK(contains(log, "train.init_from: "));
    CHECK((weights_of(folder) == weights_of(origin.folder, 3)));
    CHECK(state_of(folder)["step"] == 1);
    CHECK(state_of(folder)["optimizer_updates"] == 1);
    CHECK(state_of(folder)["init_checksum"] == checksum_of(InputFile(origin.file())));
    CHECK(contains(read_bytes(folder + "/config.yaml"), "init_from: " + what));
  }
}

TEST_CASE("of a run the best checkpoint is taken, of a checkpoint the average of its weights") {
  const Origin origin({"train.keep_best=true", "train.ema_decay=0.5", "train.eval_every=1",
                       "train.optimizer.lr=2", "train.schedule.decay=constant", "train.steps=8",
                       "train.schedule.warmup_steps=8"});
  const LoadedCheckpoint best = open_checkpoint(origin.folder, "best");
  REQUIRE(best.step < 8);  // otherwise this test shows nothing
  const std::string log = log_of(origin.from(origin.folder), origin.dir / "new");
  CAPTURE(log);
  CHECK(contains(log, "the best checkpoint of " + origin.folder));
  CHECK(contains(log, fmt::format("(step {}, the moving average of its weights)", best.step)));
  const std::string name = "blocks.0.attention.query.weight";
  const SafetensorsFile got(origin.dir / "new/checkpoints/step-1/model.safetensors");
  CHECK(same_bits(got.load(name, Device::cpu, MemoryCategory::data),
                  best.average->load(name, Device::cpu, MemoryCategory::data)));
}

TEST_CASE("tensors that do not fit are named, and may be left out by patterns") {
  const Origin origin;
  const std::string message = refusal<ConfigError>(
      origin.from(origin.folder, {"model.layers=1", "model.ffn_width=48",
                                  "model.embedding.tie_weights=false", "ssa.layers=1"}),
      origin.dir / "new");
  CAPTURE(message);
  CHECK(contains(message, "train.init_skip"));
  CHECK(contains(message, "not in the file (1):\n  output.weight"));
  CHECK(contains(message, "blocks.1.attention.query.weight"));
  CHECK(contains(message, "blocks.0.ffn.up.weight: f32 (32, 16), the model has (48, 16)"));

  const Config other = origin.from(
      origin.folder, {"model.layers=1", "model.ffn_width=48", "model.embedding.tie_weights=false",
                      "ssa.layers=1", "train.init_skip=[output.*, blocks.1.*, '*.ffn.*']"});
  const std::string log = log_of(other, origin.dir / "other");
  CAPTURE(log);
  CHECK(contains(log, "left by train.init_skip"));
  CHECK(contains(log, "\n  output.weight"));
  CHECK(contains(log, "\n  blocks.1.attention.query.weight"));
  CHECK(contains(log, "model.layers: there 2, now 1"));

  CHECK(contains(refusal<ConfigError>(origin.from(origin.folder, {"train.init_skip=[hed.*]"}),
                                      origin.dir / "new"),
                 "'hed.*' matches no tensor"));
  CHECK(contains(refusal<ConfigError>(origin.from(origin.folder, {"train.init_skip=['*']"}),
                                      origin.dir / "new"),
                 "leaves no tensor"));
}

TEST_CASE("what is not there, damaged, ruined or the run's own is refused") {
  const Origin origin;
  const std::string folder = origin.dir / "new";
  CHECK(contains(refusal<ConfigError>(origin.from(origin.dir / "none"), folder),
                 "train.init_from: there is no " + (origin.dir / "none")));
  CHECK(contains(refusal<CheckpointError>(origin.from(origin.text_path), folder),
                 "no valid safetensors file"));
  CHECK(contains(
      message_of<ConfigError>([&] { train(origin.from(origin.folder), origin.folder, "auto"); }),
      "belongs to the run folder"));

  Tensor ruined = Tensor::zeros({16}, DType::f32, Device::cpu);
  ruined.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(origin.dir / "ruined.safetensors", {{"blocks.0.ffn.down.bias", ruined}}, {});
  CHECK(contains(refusal<DivergedError>(
                     origin.from(origin.dir / "ruined.safetensors",
                                 {"train.init_skip=['*weight', 'blocks.1.*', '*attention*', "
                                  "'*norm*', '*up.bias']"}),
                     folder),
                 "element 3 of blocks.0.ffn.down.bias"));
  flip_bit(origin.file());
  CHECK(
      contains(refusal<CheckpointError>(origin.from(origin.folder + "/checkpoints/step-3"), folder),
               "is damaged"));
}

TEST_CASE("weights may be stored in another precision") {
  const Origin origin;
  const SafetensorsFile file(origin.file());
  std::vector<NamedTensor> halves;
  for (const std::string& name : file.names()) {
    const Tensor whole = file.load(name, Device::cpu, MemoryCategory::data);
    Tensor half = Tensor::empty(whole.shape(), DType::bf16, Device::cpu);
    backend(Device::cpu).copy(whole, half);
    halves.push_back({name, half});
  }
  write_safetensors(origin.dir / "half.safetensors", halves, {});
  log_of(origin.from(origin.dir / "half.safetensors"), origin.dir / "new");
  CHECK((weights_of(origin.dir / "new") != weights_of(origin.folder, 3)));
  const SafetensorsFile got(origin.dir / "new/checkpoints/step-1/model.safetensors");
  for (const NamedTensor& half : halves) {
    Tensor expected = Tensor::empty(half.tensor.shape(), DType::f32, Device::cpu);
    backend(Device::cpu).copy(half.tensor, expected);
    CHECK(same_bits(got.load(half.name, Device::cpu, MemoryCategory::data), expected));
  }
}

TEST_CASE("an interrupted run that started from weights does not start from them again") {
  const Origin origin;
  const Overrides start = {"train.init_from=" + origin.folder, "train.seed=2",
                           "train.schedule.decay=constant", "ssa.finetune_fraction=0"};
  REQUIRE(train(origin.config(start), origin.dir / "whole") == TrainOutcome::finished);
  REQUIRE(train(origin.config(start + Overrides{"train.steps=2"}), origin.dir / "parts") ==
          TrainOutcome::finished);
  std::filesystem::rename(origin.folder, origin.dir / "gone");
  REQUIRE(train(origin.config(start), origin.dir / "parts", "auto") == TrainOutcome::finished);
  CHECK((weights_of(origin.dir / "parts", 8) == weights_of(origin.dir / "whole", 8)));
  CHECK(state_of(origin.dir / "parts")["init_from"] == state_of(origin.dir / "whole")["init_from"]);
  const std::string log = log_of(origin.config({"train.init_from=" + origin.dir / "elsewhere",
                                                "train.seed=2", "train.steps=9"}),
                                 origin.dir / "parts", "auto");
  CHECK(contains(log, "has no effect: the run goes on from its own checkpoint"));
}

TEST_CASE("several ranks start from the same weights") {
  const Origin origin;
  const Config config = origin.config({"train.init_from=" + origin.folder, "ssa.kind=none",
                                       "train.micro_batch=1", "train.steps=2", "model.dropout=0",
                                       "model.attention_dropout=0", "model.activation_dropout=0"});
  const auto losses = [&](int ranks) {
    const std::string folder = origin.dir / fmt::format("on-{}", ranks);
    const StopSignal stop;
    on_ranks(ranks, [&](Communicator& communicator) {
      omp_set_num_threads(1);
      Trainer(config, {folder, "none", Device::cpu, &communicator}).train();
    });
    return read_metrics(folder + "/metrics.jsonl").front().loss.value();
  };
  CHECK(losses(2) == Approx(losses(1)).epsilon(1e-6));
}

TEST_CASE("weights of words that have other numbers are warned of") {
  const WordRun words;
  spdlog::set_level(spdlog::level::off);
  const std::string folder = words.dir / "origin";
  REQUIRE(train(words.config({"train.steps=1", "train.schedule.warmup_steps=0"}), folder) ==
          TrainOutcome::finished);
  // The same words with other counts are in another order.
  PrepareOptions options;
  options.name = "words";
  options.output = words.dir / "other";
  std::filesystem::create_directories(words.dir / "text");
  for (const auto& [from, to] :
       {std::pair{"valid.txt", "train.txt"}, std::pair{"test.txt", "valid.txt"},
        std::pair{"train.txt", "test.txt"}}) {
    options.inputs.push_back(words.dir / "text/" + to);
    write_bytes(options.inputs.back(), read_bytes(words.dir / from));
  }
  prepare_dataset(options);
  const std::string log =
      log_of(words.config({"data.path=" + words.dir / "other", "train.init_from=" + folder,
                           "train.steps=1", "train.schedule.warmup_steps=0", "data.length=16",
                           "eval.length=16", "eval.overlap=0"}),
             words.dir / "new");
  CAPTURE(log);
  CHECK(contains(log, "its words stand for other numbers"));
}
