// The config and the data that travel with a checkpoint, held against those of a later start.

#include "ssa/train/checkpoint_config.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/data/token_dataset.h"
#include "ssa/train/model_session.h"
#include "ssa/train/run_state.h"
#include "ssa/train/trainer.h"

#include "train/captured_log.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

TrainOutcome train(const Config& config, const std::string& folder,
                   const std::string& resume = "auto") {
  return Trainer(config, {folder, resume, Device::cpu}).train();
}

/// A run of two steps that goes on with other configs.
template <class Base>
struct TwoSteps : Base {
  std::string folder = this->dir / "run";

  TwoSteps() {
    spdlog::set_level(spdlog::level::off);
    REQUIRE(train(config({}), folder) == TrainOutcome::finished);
  }
  Config config(const Overrides& overrides) const {
    return Base::config(Overrides{"train.steps=2", "ssa.finetune_fraction=0"} + overrides);
  }
  nlohmann::json changes() const {
    return nlohmann::json::parse(read_bytes(folder + "/config-changes.json"));
  }
};

/// Takes from a checkpoint what versions before the config travelled with it did not write.
void make_older(const std::string& checkpoint) {
  auto state = nlohmann::json::parse(read_bytes(checkpoint + "/state.json"));
  for (const char* key : {"data_vocabulary_checksum", "data_name", "data_path", "config_changes"}) {
    state.erase(key);
  }
  const std::string run = std::filesystem::path(checkpoint).parent_path().parent_path().string();
  CheckpointData data;
  {
    const LoadedCheckpoint loaded = open_checkpoint(checkpoint);
    data.step = loaded.step;
    for (const std::string& name : loaded.model.names()) {
      data.model.push_back({name, loaded.model.load(name, Device::cpu, MemoryCategory::data)});
    }
    const SafetensorsFile optimizer(checkpoint + "/optimizer.safetensors");
    for (const std::string& name : optimizer.names()) {
      data.optimizer.push_back({name, optimizer.load(name, Device::cpu, MemoryCategory::data)});
    }
  }
  data.state_json = state.dump();
  save_checkpoint(run, data, 20);
}

/// Changes the working directory for as long as it lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& path) : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(path);
  }
  ~WorkingDirectory() { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_;
};

}  // namespace

TEST_CASE("keys that make another function of the weights are refused on resuming, all at once") {
  const TwoSteps<TinyRun> run;
  const std::string before = read_bytes(run.folder + "/config.yaml");
  const std::string message = message_of<ConfigError>([&] {
    train(run.config({"train.steps=3", "model.heads=4", "model.activation=relu",
                      "model.position=none", "model.final_norm=false"}),
          run.folder);
  });
  CAPTURE(message);
  CHECK(contains(message, "step-2"));
  for (const char* change :
       {"model.heads: there 2, now 4", "model.activation: there gelu, now relu",
        "model.position: there alibi, now none", "model.final_norm: there true, now false"}) {
    CHECK(contains(message, change));
  }
  CHECK_FALSE(contains(message, "train.steps"));
  CHECK(read_bytes(run.folder + "/config.yaml") == before);
}

TEST_CASE("every other change of the config is said, and remembered with its step") {
  const TwoSteps<TinyRun> run;
  CHECK_FALSE(path_exists(run.folder + "/config-changes.json"));
  const Overrides longer = {"train.steps=3", "ssa.windows=8"};
  {
    const Log log;
    REQUIRE(train(run.config(longer), run.folder) == TrainOutcome::finished);
    CHECK(contains(log.text(), "train.steps: there 2, now 3"));
    CHECK(contains(log.text(), "ssa.windows: there 4, now 8"));
  }
  {
    const Log log;  // nothing has changed since
    REQUIRE(train(run.config(longer), run.folder) == TrainOutcome::finished);
    CHECK_FALSE(contains(log.text(), ": there "));
  }
  REQUIRE(train(run.config({"train.steps=4"}), run.folder) == TrainOutcome::finished);
  const nlohmann::json changes = run.changes();
  CAPTURE(changes.dump());
  REQUIRE(changes.size() == 4);
  CHECK(changes[0] ==
        nlohmann::json{{"after_step", 2}, {"key", "ssa.windows"}, {"there", "4"}, {"now", "8"}});
  CHECK(changes[1]["key"] == "train.steps");
  CHECK(changes[2]["after_step"] == 3);
  CHECK(changes[3] ==
        nlohmann::json{{"after_step", 3}, {"key", "train.steps"}, {"there", "3"}, {"now", "4"}});

  // Back on the checkpoint from before all that, under its own config: as if it had never been.
  const std::string first = run.folder + "/checkpoints/step-2";
  REQUIRE(train(run.config({}), run.folder, first) == TrainOutcome::finished);
  CHECK_FALSE(path_exists(run.folder + "/config-changes.json"));
  // A branch takes its history along.
  REQUIRE(train(run.config({"train.steps=4"}), run.dir / "branch",
                run.folder + "/checkpoints/step-4") == TrainOutcome::finished);
  CHECK(nlohmann::json::parse(read_bytes(run.dir / "branch/config-changes.json")) == changes);
}

TEST_CASE("a checkpoint of an older version still resumes, with a note") {
  const TwoSteps<TinyRun> run;
  make_older(run.folder + "/checkpoints/step-2");
  const Log log;
  REQUIRE(train(run.config({"train.steps=3"}), run.folder) == TrainOutcome::finished);
  CHECK(contains(log.text(), "saved by an older version, without its config"));
  const LoadedCheckpoint next = open_checkpoint(run.folder + "/checkpoints/step-3");
  CHECK(load_config(run.folder + "/config.yaml") == *config_of(next));
  CHECK(run_state_of(next).data.path == run.text_path);
}

TEST_CASE("the same words with other numbers are refused") {
  const TwoSteps<WordRun> run;
  // The next word in the list is swapped with the one before it; the tokens stay as they are.
  std::string list = read_bytes(run.words_path + "/vocab.txt");
  const size_t second = list.find('\n') + 1, third = list.find('\n', second) + 1;
  const std::string swapped = list.substr(second, third - second) + list.substr(0, second);
  std::filesystem::copy(run.words_path, run.dir / "other");
  write_bytes(run.dir / "other/vocab.txt", swapped + list.substr(third));
  DatasetInfo info = TokenDataset::open(run.words_path).info();
  const std::string before = info.vocabulary_checksum;
  info.vocabulary_checksum = scan(TokenDataset::open(run.dir / "other/vocab.txt")).checksum;
  write_bytes(run.dir / "other/dataset.json", dataset_to_json(info));

  const Config other = run.config({"train.steps=3", "data.path=" + (run.dir / "other")});
  const std::string message = message_of<ConfigError>([&] { train(other, run.folder); });
  CAPTURE(message);
  CHECK(contains(message, "vocabulary with checksum " + info.vocabulary_checksum));
  CHECK(contains(message, before));
  const auto data = make_task(other)->open_data();
  CHECK(contains(message_of<ConfigError>([&] {
                   require_same_vocabulary(latest_checkpoint_of(run.folder), data->identity());
                 }),
                 info.vocabulary_checksum));
}

TEST_CASE("a relative path of the data leads to them from another working directory, too") {
  const TinyRun files;
  spdlog::set_level(spdlog::level::off);
  const Overrides relative = {"data.path=text.txt", "train.steps=2", "ssa.finetune_fraction=0"};
  {
    const WorkingDirectory there(files.dir.path());
    REQUIRE(train(files.config(relative), "run") == TrainOutcome::finished);
  }
  const TempDir elsewhere;
  const WorkingDirectory here(elsewhere.path());
  const Log log;
  REQUIRE(train(files.config(relative + Overrides{"train.steps=3"}), files.dir / "run") ==
          TrainOutcome::finished);
  CHECK(contains(
      log.text(),
      "data.path 'text.txt' leads nowhere from this working directory: using " + files.text_path));
  // Another path is not what the run was started with: nothing is used in its place.
  message_of<DataError>(
      [&] { train(files.config(relative + Overrides{"data.path=texts.txt"}), files.dir / "run"); });
}
