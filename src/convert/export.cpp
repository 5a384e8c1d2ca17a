// From a checkpoint to a file of weights.

#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "ssa/config/config_json.h"
#include "ssa/convert/convert.h"
#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/model_session.h"
#include "ssa/train/run_state.h"
#include "ssa/train/run_vocabulary.h"

namespace ssa {

namespace {

/// A parameter and its place in a tensor of the other program.
struct Part {
  std::string parameter;
  Placement place;
};

/// The tensors of the other program, by name, and the parameters that they are made of.
std::map<std::string, std::vector<Part>> parts_by_tensor(const SafetensorsFile& weights,
                                                         const Layout& layout,
                                                         const Config& config) {
  std::map<std::string, std::vector<Part>> parts;
  for (const SafetensorsEntry& entry : weights.entries()) {
    for (const Placement& place : layout.places(entry.name, entry.shape, config)) {
      parts[place.tensor].push_back({entry.name, place});
    }
  }
  return parts;
}

/// Puts the elements of a parameter where its placement says.
void put(const Tensor& values, const Placement& place, Tensor& whole) {
  const int64_t rows = values.rank() == 0 ? 1 : values.dim(0);
  const int64_t columns = values.numel() / std::max<int64_t>(1, rows);
  const int64_t stride = whole.numel() / std::max<int64_t>(1, whole.dim(0));
  const float* from = values.data<float>();
  float* const to = whole.data<float>();
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = place.rows.empty() ? r : place.rows[static_cast<size_t>(r)];
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t column = place.columns.empty() ? c : place.columns[static_cast<size_t>(c)];
      to[row * stride + column] = *from++;
    }
  }
}

Tensor assembled(const SafetensorsFile& weights, const std::vector<Part>& parts) {
  const auto load = [&](const std::string& name) {
    return weights.load(name, Device::cpu, MemoryCategory::data);
  };
  const Placement& first = parts.front().place;
  if (first.rows.empty() && first.columns.empty()) {
    return load(parts.front().parameter).view(first.shape);
  }
  Tensor whole = Tensor::empty(first.shape, DType::f32, Device::cpu, MemoryCategory::data);
  for (const Part& part : parts) put(load(part.parameter), part.place, whole);
  return whole;
}

std::vector<TensorToWrite> tensors_to_write(const SafetensorsFile& weights, const Layout& layout,
                                            const Config& config) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, parts] : parts_by_tensor(weights, layout, config)) {
    tensors.push_back({name, DType::f32, parts.front().place.shape,
                       [&weights, parts = parts] { return assembled(weights, parts); }});
  }
  for (const Constant& constant : layout.constants(config)) {
    tensors.push_back({constant.tensor, DType::f32, {1}, [value = constant.value] {
                         return Tensor::from(std::vector<float>{value}, {1}, Device::cpu);
                       }});
  }
  return tensors;
}

std::string json_of(const DataIdentity& data) {
  using Handler = nlohmann::json::error_handler_t;  // names may have any bytes; JSON is UTF-8
  return nlohmann::json{{"name", data.name},
                        {"bytes", data.bytes},
                        {"checksum", data.checksum},
                        {"vocabulary_checksum", data.vocabulary_checksum}}
      .dump(-1, ' ', false, Handler::replace);
}

/// What the model's numbers stand for: words, ids; empty for other models.
std::string vocabulary_of(const LoadedCheckpoint& checkpoint, const Config& config) {
  if (!kLanguageModels.has(config.task) || config.task == TaskKind::byte_lm) return {};
  try {
    return vocabulary_to_text(vocabulary_of_run(config, checkpoint));
  } catch (const Error& error) {
    spdlog::warn("the file will not have the vocabulary: {}", error.what());
    return {};
  }
}

SafetensorsMetadata metadata_of(const LoadedCheckpoint& checkpoint, const Config& config,
                                bool is_average) {
  RunState state = run_state_of(checkpoint);
  state.data.path.clear();  // the file is to be passed on: this machine's folders are private
  return to_metadata({.config = config_json(config),
                      .step = checkpoint.step,
                      .commit = checkpoint.engine_commit,
                      .data = json_of(state.data),
                      .is_average = is_average,
                      .state = to_json(state),
                      .vocabulary = vocabulary_of(checkpoint, config)});
}

LoadedCheckpoint given_checkpoint(const ExportOptions& options) {
  const std::string& name = options.checkpoint;
  if (options.run.empty() && name.empty()) {
    throw ConfigError(
        "give --run DIR, with --checkpoint best or step-N for another than its newest, or "
        "--checkpoint DIR alone");
  }
  return options.run.empty() ? open_checkpoint(name)
                             : checkpoint_of(options.run, name.empty() ? "latest" : name);
}

bool takes_average(const ExportOptions& options, const LoadedCheckpoint& checkpoint) {
  if (options.weights == "average" && !checkpoint.average) {
    throw ConfigError(
        "--weights average: {} has the trained weights only, because its run had train.ema_decay "
        "= 0",
        checkpoint.path);
  }
  return checkpoint.average && options.weights != "trained";
}

/// Weights under other names, or of other precision, would make the checkpoint useless.
void refuse_checkpoint(const std::string& output) {
  const std::filesystem::path folder = std::filesystem::absolute(output).parent_path();
  if (!path_exists((folder / "manifest.json").string())) return;
  throw ConfigError("--output {}: this file is part of a checkpoint: name a file somewhere else",
                    output);
}

Config config_of_export(const LoadedCheckpoint& checkpoint) {
  if (const auto config = config_of(checkpoint)) return *config;
  throw CheckpointError("{} does not say which config it was saved under", checkpoint.path);
}

}  // namespace

void export_weights(const ExportOptions& options) {
  if (options.output == "-") {
    throw ConfigError("--output -: weights do not go to standard output; name a file");
  }
  refuse_checkpoint(options.output);
  const LoadedCheckpoint checkpoint = given_checkpoint(options);
  const Config config = config_of_export(checkpoint);
  const Layout& layout = layout_for(options.layout, config.task);
  const bool average = takes_average(options, checkpoint);
  const SafetensorsFile& weights = average ? *checkpoint.average : checkpoint.model;
  const auto tensors = tensors_to_write(weights, layout, config);
  // PyTorch's loaders look for the key "format".
  const SafetensorsMetadata metadata = options.layout == "ssa"
                                           ? metadata_of(checkpoint, config, average)
                                           : SafetensorsMetadata{{"format", "pt"}};
  replace_file(options.output,
               [&](OutputFile& file) { write_safetensors(file, tensors, metadata); });
  spdlog::info("{}: the {}weights of step {} of {}, {} tensors by the names of {}", options.output,
               average ? "average of the " : "", checkpoint.step, checkpoint.path, tensors.size(),
               layout.name);
}

}  // namespace ssa
