#include "ssa/train/run_state.h"

#include <nlohmann/json.hpp>

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

RunState some_state() {
  RunState state;
  state.step = 3;
  state.tokens = 384;
  state.elapsed_seconds = 1.5;
  state.consecutive_skips = 1;
  state.evaluation_due = true;
  state.optimizer_updates = 2;
  state.seed = 18446744073709551615u;
  state.batch_size = 4;
  state.micro_batch = 2;
  state.length = 32;
  state.data = {6000, "0123456789abcdef", "aaaa", "words", "/data/words"};
  state.unlogged_loss = 3.25;
  state.unlogged_steps = 2;
  state.best = {2, 1.5};
  state.evaluations_since_best = 1;
  state.init_from = "/runs/a/checkpoints/step-3";
  state.init_checksum = "bbbb";
  state.config_changes = {{2, {"train.optimizer.lr", "0.01", "0.001"}}};
  return state;
}

DataIdentity data(int64_t bytes, const std::string& checksum) { return {bytes, checksum}; }

}  // namespace

TEST_CASE("a run's state reads back as it was written") {
  const std::string text = to_json(some_state());
  CHECK(to_json(run_state_from_json(text, "x")) == text);
  CHECK(nlohmann::json::parse(text)["seed"] == 18446744073709551615u);
  CHECK(nlohmann::json::parse(text)["micro_batch"] == 2);
}

TEST_CASE("the state of an earlier version is read without what it does not state") {
  auto json = nlohmann::json::parse(to_json(some_state()));
  json.erase("micro_batch");
  for (const char* key :
       {"best", "unlogged_loss", "unlogged_steps", "init_from", "init_checksum", "data_checksum",
        "data_vocabulary_checksum", "data_name", "data_path", "config_changes"}) {
    json.erase(key);
  }
  const RunState state = run_state_from_json(json.dump(), "x");
  CHECK(state.step == 3);
  CHECK(state.micro_batch == 0);
  CHECK(state.data.checksum.empty());
  CHECK_FALSE(state.best.has_value());
  CHECK(state.evaluations_since_best == 0);  // of no best score
  json["tokens"] = -1;
  CHECK(contains(message_of<CheckpointError>([&] { run_state_from_json(json.dump(), "a/step-3"); }),
                 "a/step-3/state.json: tokens is -1; it must be a whole number from 0 to "));
  json.erase("step");
  for (const std::string& broken : {json.dump(), std::string("{"), std::string("[]")}) {
    CHECK(contains(message_of<CheckpointError>([&] { run_state_from_json(broken, "a/step-3"); }),
                   "a/step-3/state.json"));
  }
}

TEST_CASE("a state that no engine wrote is refused") {
  auto json = nlohmann::json::parse(to_json(some_state()));
  const auto refused = [](const nlohmann::json& changed) {
    return contains(message_of<CheckpointError>([&] { run_state_from_json(changed.dump(), "x"); }),
                    "x/state.json");
  };
  for (const auto& step :
       {nlohmann::json(1e300), nlohmann::json(1.5), nlohmann::json(~uint64_t{0})}) {
    auto changed = json;
    changed["step"] = step;
    CHECK(refused(changed));
  }
  // Copying a value that is nested so deep would exhaust the stack.
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  json["config_changes"] = "DEEP";
  std::string text = json.dump();
  text.replace(text.find("\"DEEP\""), 6, deep);
  CHECK(contains(message_of<CheckpointError>([&] { run_state_from_json(text, "x"); }), "nested"));
}

TEST_CASE("names of data may have any bytes") {
  RunState state = some_state();
  state.data.path = "/data/\xff";
  const std::string text = to_json(state);
  CHECK(run_state_from_json(text, "x").data.path == "/data/\xef\xbf\xbd");
}

TEST_CASE("data differ by size, or by checksum where both state one") {
  const DataIdentity run = some_state().data;
  CHECK(data_difference(run, data(6000, run.checksum)).empty());
  CHECK(data_difference(run, data(6000, "")).empty());
  CHECK(data_difference({}, data(6000, run.checksum)).empty());  // of imported weights
  const std::string size = data_difference(run, data(5000, ""));
  CHECK(contains(size, "5000 bytes, the run's data 6000 bytes with checksum 0123456789abcdef"));
  const std::string content = data_difference(run, data(6000, "fedcba9876543210"));
  CHECK(contains(content, "fedcba9876543210"));
  CHECK(contains(content, "0123456789abcdef"));
  CHECK(data_difference(data(6000, ""), data(6000, "fedcba9876543210")).empty());
  DataIdentity reordered = run;
  reordered.vocabulary_checksum = "bbbb";
  CHECK(contains(data_difference(run, reordered), "vocabulary with checksum bbbb"));
}

TEST_CASE("a state of another step than the checkpoint around it is an error") {
  const TempDir dir;
  CheckpointData saved = data_of_step(4);  // the state says 3
  saved.state_json = to_json(some_state());
  save_checkpoint(dir.path(), saved, 1);
  const LoadedCheckpoint checkpoint = open_checkpoint(dir / "checkpoints/step-4");
  CHECK(contains(message_of<CheckpointError>([&] { run_state_of(checkpoint); }),
                 "manifest is of step 4, its state of step 3"));
}
