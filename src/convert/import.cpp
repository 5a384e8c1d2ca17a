// From a file of weights to a run folder.

#include <cstring>
#include <map>
#include <set>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "ssa/convert/convert.h"
#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/run_folder.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/language_model.h"
#include "ssa/tasks/load.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/run_state.h"

#include "convert/match.h"
#include "convert/position_table.h"

namespace ssa {

namespace {

/// The tensor in f32.
Tensor as_f32(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return tensor;
  Tensor result = Tensor::empty(tensor.shape(), DType::f32, Device::cpu, MemoryCategory::data);
  visit_floating(tensor.dtype(), [&]<class T>(TypeTag<T>) {
    const T* const from = tensor.data<T>();
    float* const to = result.data<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) to[i] = static_cast<float>(from[i]);
  });
  return result;
}

/// Columns of a shape taken as a matrix.
int64_t columns_of(const Shape& shape) {
  return shape.rank() == 0 ? 1 : shape.numel() / std::max<int64_t>(1, shape[0]);
}

/// The elements of `whole` that are the parameter's.
Tensor taken(const Tensor& whole, const Placement& place, const Shape& shape) {
  if (place.rows.empty() && place.columns.empty()) return whole.view(shape);
  Tensor result = Tensor::empty(shape, DType::f32, Device::cpu, MemoryCategory::data);
  const int64_t columns = columns_of(shape), stride = columns_of(place.shape);
  const float* const from = whole.data<float>();
  float* to = result.data<float>();
  for (int64_t r = 0; r < shape[0]; ++r) {
    const int64_t row = place.rows.empty() ? r : place.rows[static_cast<size_t>(r)];
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t column = place.columns.empty() ? c : place.columns[static_cast<size_t>(c)];
      *to++ = from[row * stride + column];
    }
  }
  return result;
}

/// Fills parameters from a file, tensor by tensor.
class Reader {
 public:
  explicit Reader(const SafetensorsFile& file) : file_(file) {}

  void fill(const ParameterSource& source) {
    if (source.stored.empty()) {
      skipped_.push_back(source.parameter.name);
      return;
    }
    Tensor to = source.parameter.variable.value();
    to.copy_from(values(source.stored.front(), source.parameter));
    for (size_t i = 1; i < source.stored.size(); ++i) check_tied(source, source.stored[i], to);
  }

  void log(const Matching& matching, const Layout& layout) const {
    int64_t numbers = 0;
    for (const ParameterSource& source : matching.sources) {
      numbers += source.parameter.shape.numel();
    }
    spdlog::info("{}: {} parameters with {} numbers, by the names of {}", file_.path(),
                 matching.sources.size(), numbers, layout.name);
    for (const auto& [dtype, names] : converted_) {
      spdlog::info("{} tensors were converted from {} to f32", names.size(), name(dtype));
    }
    if (!resized_.empty()) {
      spdlog::info(
          "{} tables of position biases are of another window: resized by torch's bicubic "
          "interpolation, as Microsoft's code does (timm does it differently):\n  {}",
          resized_.size(), fmt::join(resized_, "\n  "));
    }
    if (!matching.left_out.empty()) {
      spdlog::info("left out: {}", fmt::join(matching.left_out, ", "));
    }
    if (!skipped_.empty()) {
      spdlog::info("skipped, with random values: {}", fmt::join(skipped_, ", "));
    }
  }

 private:
  Tensor values(const Stored& stored, const Parameter& parameter) {
    const Tensor& whole = load(stored.name);
    if (whole.shape() == stored.place.shape) return taken(whole, stored.place, parameter.shape);
    resized_.push_back(fmt::format("{} {} to {}", stored.name, to_string(whole.shape()),
                                   to_string(parameter.shape)));
    return resized_table(whole, parameter.shape[0], file_.path() + ": " + stored.name);
  }

  /// Several parameters may be parts of one tensor, one behind the other.
  const Tensor& load(const std::string& name) {
    if (name == loaded_name_) return loaded_;
    const Tensor stored = file_.load(name, Device::cpu, MemoryCategory::data);
    if (stored.dtype() != DType::f32) converted_[stored.dtype()].insert(name);
    loaded_ = as_f32(stored);
    loaded_name_ = name;
    return loaded_;
  }

  void check_tied(const ParameterSource& source, const Stored& copy, const Tensor& values_there) {
    const Tensor other = values(copy, source.parameter);
    if (std::memcmp(other.raw(), values_there.raw(), other.bytes()) == 0) return;
    throw CheckpointError(
        "{}: {} and {} have other numbers, but are the same weights by the config: set "
        "model.embedding.tie_weights or model.embedding.tie_projections to false",
        file_.path(), source.stored.front().name, copy.name);
  }

  const SafetensorsFile& file_;
  std::string loaded_name_;
  Tensor loaded_;
  std::map<DType, std::set<std::string>> converted_;
  std::vector<std::string> resized_, skipped_;
};

void refuse_pickle(const std::string& path) {
  for (const char* ending : {".pt", ".pth", ".ckpt", ".bin"}) {
    if (!path.ends_with(ending)) continue;
    throw CheckpointError(
        "{} is a file of PyTorch's own format, which can run any code when it is opened. Turn it "
        "into safetensors with the line in docs/how-to/use-weights-elsewhere.md",
        path);
  }
}

Config given_config(const ImportOptions& options, const SafetensorsFile& file) {
  if (!options.config.empty()) return load_task_config(options.config, options.set);
  if (options.layout != "ssa") {
    throw ConfigError("--config FILE is missing: only a file of the layout ssa has one inside");
  }
  return config_in_weights_file(file.path(), options.set);
}

/// Weights whose rows stand for other words would load, and predict nonsense.
void require_same_words(const Layout& layout, const TaskData& data) {
  const auto* const text = dynamic_cast<const LanguageModelData*>(&data);
  if (!text || text->dataset().info().kind != TokenKind::words) return;
  const Vocabulary& words = text->dataset().vocabulary();
  for (size_t i = 0; i < layout.first_words.size(); ++i) {
    const auto row = static_cast<int32_t>(i);
    if (words.find(layout.first_words[i]) == row) continue;
    throw ConfigError(
        "data.path '{}': {} is not word {}, but with the layout {} the rows of the weights begin "
        "with {}, and the words of dict.txt follow. Prepare the data with these words: ssa-data "
        "prepare words --vocabulary dict.txt",
        data.path(), layout.first_words[i], i, layout.name, fmt::join(layout.first_words, ", "));
  }
}

/// The words or ids that a file of this engine brings. Empty for those of other programs.
struct BroughtVocabulary {
  std::string text;      ///< as in the prepared data; empty: the file has none
  std::string checksum;  ///< of the vocabulary that the weights were trained with; empty: unknown
};

/// Throws CheckpointError where the text is not that of the checksum: it would name the rows wrong.
BroughtVocabulary vocabulary_in(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != "ssa") return {};
  const WeightsFileInfo info = weights_file_info(file);
  BroughtVocabulary brought{info.vocabulary,
                            run_state_from_json(info.state, file.path()).data.vocabulary_checksum};
  if (brought.text.empty()) return brought;
  const std::string found = vocabulary_checksum(brought.text);
  if (brought.checksum.empty()) brought.checksum = found;
  if (found == brought.checksum) return brought;
  throw CheckpointError(
      "{}: the vocabulary in its metadata has checksum {}, but its weights were trained with that "
      "of {}: the file was changed. Export it again",
      file.path(), found, brought.checksum);
}

void require_trained_vocabulary(const std::string& trained_with, const SafetensorsFile& file,
                                const DataIdentity& data) {
  if (trained_with.empty() || trained_with == data.vocabulary_checksum) return;
  throw ConfigError(
      "{}: its weights were trained with the vocabulary of checksum {}, but that of {} has {}: its "
      "words stand for other numbers. Give the data of the training, or a path without data: --set "
      "data.path=…",
      file.path(), trained_with, data.path,
      data.vocabulary_checksum.empty() ? "none" : data.vocabulary_checksum);
}

/// The config with what its data know, and which words the weights will be of. Without data, which
/// nobody needs for the weights alone, what the config and the file say.
struct Prepared {
  Config config;
  DataIdentity data;
};

Prepared prepare(const Config& given, const Layout& layout, const SafetensorsFile& file,
                 const std::string& trained_with) {
  DataIdentity unknown;  // what the weights were trained on, except for the numbers of the words
  unknown.vocabulary_checksum = trained_with;
  std::unique_ptr<TaskData> data;
  try {
    data = make_task(given)->open_data();
  } catch (const DataError&) {
    spdlog::info(
        "data.path '{}' leads to no data: how many classes or words there are, the config says",
        given.data.path);
    return {given, unknown};
  }
  require_same_words(layout, *data);
  require_trained_vocabulary(trained_with, file, data->identity());
  unknown.vocabulary_checksum = data->identity().vocabulary_checksum;
  unknown.path = data->identity().path;
  return {data->settled(given), unknown};
}

void refuse_existing_run(const std::string& run_dir) {
  if (!path_exists(run_dir + "/config.yaml") && !has_checkpoints(run_dir)) return;
  throw ConfigError("{} holds a run already: give another --run-dir", run_dir);
}

void write_run(const std::string& run_dir, const Config& config, const DataIdentity& data,
               const ParameterStore& parameters) {
  const RunFolder folder(run_dir);
  CheckpointData checkpoint;
  for (const Parameter& parameter : parameters.all()) {
    checkpoint.model.push_back({parameter.name, parameter.variable.value()});
  }
  checkpoint.state_json = to_json(initial_state(config, data));
  checkpoint.config_yaml = dump_config(config);
  folder.write_config(checkpoint.config_yaml);
  save_checkpoint(run_dir, checkpoint, config.train.keep_checkpoints);
}

void keep_vocabulary(const std::string& run_dir, const Config& config, const std::string& text) {
  if (text.empty() || !kLanguageModels.has(config.task)) return;
  DatasetInfo info;
  info.kind = config.task == TaskKind::word_lm ? TokenKind::words : TokenKind::ids;
  replace_file(run_dir + "/" + std::string(info.vocabulary_file()),
               [&](OutputFile& out) { out.write(text); });
}

}  // namespace

void import_weights(const ImportOptions& options) {
  refuse_existing_run(options.run_dir);
  refuse_pickle(options.weights);
  const SafetensorsFile file(options.weights);
  const Config given = given_config(options, file);
  const Layout& layout = layout_for(options.layout, given.task);
  const BroughtVocabulary vocabulary = vocabulary_in(file);
  const auto [config, data] = prepare(given, layout, file, vocabulary.checksum);
  ParameterStore parameters(Device::cpu, DType::f32, config.train.seed);
  const std::unique_ptr<Model> model = make_task(config)->make_model(parameters);
  const Matching matching = match(file, layout, parameters.all(), config, options.skip);
  Reader reader(file);
  for (const ParameterSource& source : matching.sources) reader.fill(source);
  reader.log(matching, layout);
  write_run(options.run_dir, config, data, parameters);
  keep_vocabulary(options.run_dir, config, vocabulary.text);
  spdlog::info("{}/checkpoints/step-0 holds them", options.run_dir);
}

}  // namespace ssa
