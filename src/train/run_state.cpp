#include "ssa/train/run_state.h"

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

std::string description(int64_t bytes, const std::string& checksum) {
  return checksum.empty() ? fmt::format("{} bytes", bytes)
                          : fmt::format("{} bytes with checksum {}", bytes, checksum);
}

}  // namespace

RunState initial_state(const Config& config, const DataIdentity& data) {
  RunState state;
  state.seed = config.train.seed;
  state.batch_size = config.train.batch_size;
  state.micro_batch = config.train.micro_batch;
  state.length = config.data.length;
  state.data_bytes = data.bytes;
  state.data_checksum = data.checksum;
  return state;
}

std::string to_json(const RunState& state) {
  return nlohmann::json{{"step", state.step},
                        {"tokens", state.tokens},
                        {"elapsed_seconds", state.elapsed_seconds},
                        {"skipped_in_a_row", state.consecutive_skips},
                        {"skipped_samples", state.skipped_samples},
                        {"evaluation_due", state.evaluation_due},
                        {"optimizer_updates", state.optimizer_updates},
                        {"loss_scale", state.loss_scale},
                        {"loss_scale_good_steps", state.loss_scale_good_steps},
                        {"seed", state.seed},
                        {"batch_size", state.batch_size},
                        {"ranks", state.ranks},
                        {"micro_batch", state.micro_batch},
                        {"length", state.length},
                        {"data_bytes", state.data_bytes},
                        {"data_checksum", state.data_checksum}}
      .dump(2);
}

RunState run_state_from_json(const std::string& text, const std::string& path) {
  try {
    const auto json = nlohmann::json::parse(text);
    RunState state;
    json.at("step").get_to(state.step);
    json.at("tokens").get_to(state.tokens);
    json.at("elapsed_seconds").get_to(state.elapsed_seconds);
    json.at("skipped_in_a_row").get_to(state.consecutive_skips);
    json.at("evaluation_due").get_to(state.evaluation_due);
    json.at("optimizer_updates").get_to(state.optimizer_updates);
    json.at("seed").get_to(state.seed);
    json.at("batch_size").get_to(state.batch_size);
    json.at("length").get_to(state.length);
    json.at("data_bytes").get_to(state.data_bytes);
    // Older checkpoints do not have these keys.
    state.skipped_samples = json.value("skipped_samples", state.skipped_samples);
    state.ranks = json.value("ranks", state.ranks);
    state.micro_batch = json.value("micro_batch", state.micro_batch);
    state.loss_scale = json.value("loss_scale", state.loss_scale);
    state.loss_scale_good_steps = json.value("loss_scale_good_steps", state.loss_scale_good_steps);
    state.data_checksum = json.value("data_checksum", state.data_checksum);
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("{}/state.json: {}", path, error.what());
  }
}

std::string data_difference(const RunState& run, const DataIdentity& data) {
  const bool both_known = !run.data_checksum.empty() && !data.checksum.empty();
  if (run.data_bytes == data.bytes && (!both_known || run.data_checksum == data.checksum)) {
    return {};
  }
  return fmt::format("{}, the run's data {}", description(data.bytes, data.checksum),
                     description(run.data_bytes, run.data_checksum));
}

}  // namespace ssa
