// Reads a checkpoint's state.json. Names and paths of data may have any bytes ("=== path").

#include "ssa/train/run_state.h"

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

/// A state that can be read back: no run has a batch or examples of size 0.
RunState smallest() {
  RunState state;
  state.batch_size = state.length = 1;
  return state;
}

RunState read(const std::string& json) { return run_state_from_json(json, "input"); }

void check_round_trip(const RunState& state) {
  const std::string json = to_json(state);
  require(to_json(read(json)) == json, "a state survives a round trip");
  to_json(state.config_changes);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), "state.json");
  const auto state = parsed<CheckpointError>([&] { return read(parts["state.json"]); });
  if (state) check_round_trip(*state);
  RunState other = state.value_or(smallest());
  other.data.path = other.data.name = parts["path"];
  check_round_trip(other);
  return 0;
}
