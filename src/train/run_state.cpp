#include "ssa/train/run_state.h"

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/storage/json_text.h"

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
    changes.push_back({whole_number<int64_t>(item.at("after_step")),
                       {item.at("key"), item.at("there"), item.at("now")}});
  }
  return changes;
}

/// Names and paths may have any bytes; JSON has to be UTF-8.
std::string as_text(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

RunState initial_state(const Config& config, const DataIdentity& data) {
  RunState state;
  state.seed = config.train.seed;
  state.batch_size = config.train.batch_size;
  state.micro_batch = config.train.micro_batch;
  state.length = config.data.length;
  state.evaluation_due = config.train.evaluate_first;
  state.data = data;
  return state;
}

std::string to_json(const RunState& state) {
  nlohmann::json json{{"step", state.step},
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
                      {"unlogged_loss", state.unlogged_loss},
                      {"unlogged_steps", state.unlogged_steps},
                      {"evaluations_since_best", state.evaluations_since_best},
                      {"init_from", state.init_from},
                      {"init_checksum", state.init_checksum},
                      {"config_changes", json_of(state.config_changes)}};
  if (state.best) json["best"] = {{"step", state.best->step}, {"value", state.best->value}};
  return as_text(json);
}

RunState run_state_from_json(const std::string& text, const std::string& path) {
  const std::string file = path + "/state.json";
  const auto json = parse_json(text, file);
  const auto whole = [&](const char* key, int64_t least) {
    return whole_number(json, key, least, file);
  };
  const auto whole_or = [&](const char* key, int64_t least, int64_t otherwise) {
    return json.contains(key) ? whole(key, least) : otherwise;
  };
  try {
    RunState state;
    state.step = whole("step", 0);
    state.tokens = whole("tokens", 0);
    json.at("elapsed_seconds").get_to(state.elapsed_seconds);
    state.consecutive_skips = whole("skipped_in_a_row", 0);
    json.at("evaluation_due").get_to(state.evaluation_due);
    state.optimizer_updates = whole("optimizer_updates", 0);
    state.seed = whole_number<uint64_t>(json.at("seed"));
    state.batch_size = whole("batch_size", 1);
    state.length = whole("length", 1);
    state.data.bytes = whole("data_bytes", 0);
    // Older checkpoints do not have these keys.
    state.skipped_samples = whole_or("skipped_samples", 0, state.skipped_samples);
    state.ranks = whole_or("ranks", 1, state.ranks);
    state.micro_batch = whole_or("micro_batch", 0, state.micro_batch);
    state.loss_scale = json.value("loss_scale", state.loss_scale);
    state.loss_scale_good_steps = whole_or("loss_scale_good_steps", 0, state.loss_scale_good_steps);
    state.unlogged_loss = json.value("unlogged_loss", state.unlogged_loss);
    state.unlogged_steps = whole_or("unlogged_steps", 0, state.unlogged_steps);
    if (const auto best = json.find("best"); best != json.end()) {
      state.best = {whole_number<int64_t>(best->at("step")), best->at("value").get<double>()};
      state.evaluations_since_best = whole_or("evaluations_since_best", 0, 0);
    }
    state.init_from = json.value("init_from", state.init_from);
    state.init_checksum = json.value("init_checksum", state.init_checksum);
    DataIdentity& data = state.data;
    data.checksum = json.value("data_checksum", data.checksum);
    data.vocabulary_checksum = json.value("data_vocabulary_checksum", data.vocabulary_checksum);
    data.name = json.value("data_name", data.name);
    data.path = json.value("data_path", data.path);
    state.config_changes = changes_from(json.value("config_changes", nlohmann::json::array()));
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("{}: {}", file, error.what());
  }
}

RunState run_state_of(const LoadedCheckpoint& checkpoint) {
  RunState state = run_state_from_json(checkpoint.state_json, checkpoint.path);
  if (state.step == checkpoint.step) return state;
  throw CheckpointError("{} contradicts itself: its manifest is of step {}, its state of step {}",
                        checkpoint.path, checkpoint.step, state.step);
}

std::string to_json(const std::vector<ConfigChange>& changes) { return as_text(json_of(changes)); }

}  // namespace ssa
