#include "ssa/train/run_state.h"

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

nlohmann::json json_of(const std::vector<ConfigChange>& changes) {
  auto list = nlohmann::json::array();
  for (const auto& [after_step, difference] : changes) {
    list.push_back({{"after_step", after_step},
                    {"key", difference.key},
                    {"there", difference.there},
                    {"now", difference.now}});
  }
  return list;
}

std::vector<ConfigChange> changes_from(const nlohmann::json& list) {
  std::vector<ConfigChange> changes;
  for (const auto& item : list) {
    changes.push_back({item.at("after_step"), {item.at("key"), item.at("there"), item.at("now")}});
  }
  return changes;
}

}  // namespace

RunState initial_state(const Config& config, const DataIdentity& data) {
  RunState state;
  state.seed = config.train.seed;
  state.batch_size = config.train.batch_size;
  state.micro_batch = config.train.micro_batch;
  state.length = config.data.length;
  state.data = data;
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
                        {"data_bytes", state.data.bytes},
                        {"data_checksum", state.data.checksum},
                        {"data_vocabulary_checksum", state.data.vocabulary_checksum},
                        {"data_name", state.data.name},
                        {"data_path", state.data.path},
                        {"config_changes", json_of(state.config_changes)}}
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
    json.at("data_bytes").get_to(state.data.bytes);
    // Older checkpoints do not have these keys.
    state.skipped_samples = json.value("skipped_samples", state.skipped_samples);
    state.ranks = json.value("ranks", state.ranks);
    state.micro_batch = json.value("micro_batch", state.micro_batch);
    state.loss_scale = json.value("loss_scale", state.loss_scale);
    state.loss_scale_good_steps = json.value("loss_scale_good_steps", state.loss_scale_good_steps);
    DataIdentity& data = state.data;
    data.checksum = json.value("data_checksum", data.checksum);
    data.vocabulary_checksum = json.value("data_vocabulary_checksum", data.vocabulary_checksum);
    data.name = json.value("data_name", data.name);
    data.path = json.value("data_path", data.path);
    state.config_changes = changes_from(json.value("config_changes", nlohmann::json::array()));
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("{}/state.json: {}", path, error.what());
  }
}

RunState run_state_of(const LoadedCheckpoint& checkpoint) {
  RunState state = run_state_from_json(checkpoint.state_json, checkpoint.path);
  if (state.step == checkpoint.step) return state;
  throw CheckpointError("{} contradicts itself: its manifest is of step {}, its state of step {}",
                        checkpoint.path, checkpoint.step, state.step);
}

std::string to_json(const std::vector<ConfigChange>& changes) { return json_of(changes).dump(2); }

}  // namespace ssa
