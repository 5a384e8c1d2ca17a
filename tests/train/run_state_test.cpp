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
  state.data_bytes = 6000;
  state.data_checksum = "0123456789abcdef";
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
  json.erase("data_checksum");
  const RunState state = run_state_from_json(json.dump(), "x");
  CHECK(state.step == 3);
  CHECK(state.micro_batch == 0);
  CHECK(state.data_checksum.empty());
  json.erase("step");
  for (const std::string& broken : {json.dump(), std::string("{"), std::string("[]")}) {
    CHECK(contains(message_of<CheckpointError>([&] { run_state_from_json(broken, "a/step-3"); }),
                   "a/step-3/state.json"));
  }
}

TEST_CASE("data differ by size, or by checksum where both state one") {
  const RunState run = some_state();
  CHECK(data_difference(run, data(6000, run.data_checksum)).empty());
  CHECK(data_difference(run, data(6000, "")).empty());
  const std::string size = data_difference(run, data(5000, ""));
  CHECK(contains(size, "5000 bytes, the run's data 6000 bytes with checksum 0123456789abcdef"));
  const std::string content = data_difference(run, data(6000, "fedcba9876543210"));
  CHECK(contains(content, "fedcba9876543210"));
  CHECK(contains(content, "0123456789abcdef"));
  RunState older = run;
  older.data_checksum.clear();
  CHECK(data_difference(older, data(6000, "fedcba9876543210")).empty());
}
