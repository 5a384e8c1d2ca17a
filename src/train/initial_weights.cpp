#include "ssa/train/initial_weights.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fnmatch.h>

#include "ssa/backend/backend.h"
#include "ssa/dist/agreement.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/run_state.h"

namespace ssa {

namespace {

namespace fs = std::filesystem;

/// What train.init_from leads to.
struct Source {
  std::string what;                              // for the log
  std::optional<LoadedCheckpoint> checkpoint{};  // nothing: a file by itself
  std::optional<SafetensorsFile> file{};

  const SafetensorsFile& weights() const {
    if (!checkpoint) return *file;
    return checkpoint->average ? *checkpoint->average : checkpoint->model;
  }
  const std::string& path() const { return checkpoint ? checkpoint->path : file->path(); }
};

Source open_source(const std::string& path) {
  std::error_code error;  // ignored: reading reports the same problem
  const bool folder = fs::is_directory(path, error);
  if (!path_exists(path)) {
    throw ConfigError(
        "train.init_from: there is no {}; name a run folder, a checkpoint or a safetensors file",
        path);
  }
  if (folder && has_checkpoints(path)) {
    const bool best = has_best_checkpoint(path);
    Source source{fmt::format("the {} checkpoint of {}", best ? "best" : "newest", path)};
    source.checkpoint = best ? open_checkpoint(path, "best") : latest_checkpoint_of(path);
    return source;
  }
  const std::string name = fs::path(path).filename().string();
  if (folder || name == "latest" || name == "best") {
    Source source{path};
    source.checkpoint = open_checkpoint(path);
    return source;
  }
  Source source{path};
  source.file.emplace(path);
  return source;
}

/// The patterns of train.init_skip, and which of them have matched a name.
class SkipList {
 public:
  explicit SkipList(const std::vector<std::string>& patterns)
      : patterns_(patterns), used_(patterns.size(), false) {}

  bool matches(const std::string& name) {
    bool any = false;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (::fnmatch(patterns_[i].c_str(), name.c_str(), 0) != 0) continue;
      any = used_[i] = true;
    }
    return any;
  }
  std::vector<std::string> unused() const {
    std::vector<std::string> result;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (!used_[i]) result.push_back("'" + patterns_[i] + "'");
    }
    return result;
  }

 private:
  std::vector<std::string> patterns_;
  std::vector<bool> used_;
};

/// How a file and a model fit.
struct Fit {
  std::vector<NamedTensor> taken;
  std::vector<std::string> skipped;                        // by init_skip, of the model or the file
  std::vector<std::string> missing, unknown, other_shape;  // each with what is wrong
};

const SafetensorsEntry& entry_of(const SafetensorsFile& file, const std::string& name) {
  return *std::find_if(file.entries().begin(), file.entries().end(),
                       [&](const SafetensorsEntry& one) { return one.name == name; });
}

Fit fit(const SafetensorsFile& file, const std::vector<NamedTensor>& parameters, SkipList& skip) {
  Fit result;
  for (const NamedTensor& parameter : parameters) {
    const std::string& name = parameter.name;
    if (skip.matches(name)) {
      result.skipped.push_back(name);
    } else if (!file.contains(name)) {
      result.missing.push_back(name);
    } else if (const SafetensorsEntry& stored = entry_of(file, name);
               !(stored.shape == parameter.tensor.shape()) || !is_floating(stored.dtype)) {
      result.other_shape.push_back(fmt::format("{}: {} {}, the model has {}", name,
                                               ssa::name(stored.dtype), to_string(stored.shape),
                                               to_string(parameter.tensor.shape())));
    } else {
      result.taken.push_back(parameter);
    }
  }
  const auto is_parameter = [&](const std::string& name) {
    return std::any_of(parameters.begin(), parameters.end(),
                       [&](const NamedTensor& one) { return one.name == name; });
  };
  for (const std::string& name : file.names()) {
    if (is_parameter(name)) continue;
    (skip.matches(name) ? result.skipped : result.unknown).push_back(name);
  }
  return result;
}

/// Nothing for no names.
std::string listed(const std::string& title, const std::vector<std::string>& names) {
  constexpr size_t kMost = 30;
  if (names.empty()) return {};
  std::string text = fmt::format("\n{} ({}):", title, names.size());
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) text += "\n  " + names[i];
  if (names.size() > kMost) text += fmt::format("\n  and {} more", names.size() - kMost);
  return text;
}

void require_fit(const Fit& fit, const SkipList& skip, const std::string& path) {
  const std::string problems = listed("not in the file", fit.missing) +
                               listed("not in the model", fit.unknown) +
                               listed("of another shape", fit.other_shape);
  if (!problems.empty()) {
    throw ConfigError(
        "train.init_from: the tensors of {} are not those of the model. What should keep its "
        "random values, or stay in the file, is named by train.init_skip: patterns such as "
        "[\"output.*\", \"*.relative_bias\"]{}",
        path, problems);
  }
  if (const auto unused = skip.unused(); !unused.empty()) {
    throw ConfigError("train.init_skip: {} matches no tensor of the model, and none of {}",
                      fmt::join(unused, ", "), path);
  }
  if (fit.taken.empty()) {
    throw ConfigError("train.init_skip leaves no tensor of {} to start from", path);
  }
}

/// A file may hold its weights in another precision.
void load(const SafetensorsFile& file, const NamedTensor& parameter) {
  Tensor target = parameter.tensor;
  if (entry_of(file, parameter.name).dtype == target.dtype()) {
    return file.load_into(parameter.name, target);
  }
  const Tensor stored = file.load(parameter.name, target.device(), MemoryCategory::data);
  backend(target.device()).copy(stored, target);
}

std::string report_of(const Source& source, const Fit& fit) {
  std::string where = source.what;
  if (source.checkpoint) {
    where += fmt::format(" (step {}{})", source.checkpoint->step,
                         source.checkpoint->average ? ", the moving average of its weights" : "");
  }
  return fmt::format("train.init_from: {} tensors of {}{}", fit.taken.size(), where,
                     listed("left by train.init_skip", fit.skipped));
}

/// Why weights of a checkpoint may mean something else here, although they fit.
std::string warning_of(const LoadedCheckpoint& checkpoint, const Config& config,
                       const DataIdentity& data) {
  std::string text;
  if (const auto there = config_of(checkpoint)) {
    for (const ConfigDifference& difference : config_differences(*there, config)) {
      if (changes_function(difference.key)) text += "\n  " + to_text(difference);
    }
  }
  const std::string words = run_state_of(checkpoint).data.vocabulary_checksum;
  if (!words.empty() && words != data.vocabulary_checksum) {
    text += "\n  the vocabulary: its words stand for other numbers";
  }
  if (text.empty()) return text;
  return fmt::format("{}: its weights were trained as part of another function:{}", checkpoint.path,
                     text);
}

}  // namespace

InitialWeights load_initial_weights(const Config& config, const DataIdentity& data,
                                    ModelSession& session) {
  const Source source = open_source(config.train.init_from);
  const SafetensorsFile& file = source.weights();
  SkipList skip(config.train.init_skip);
  const Fit found = fit(file, session.named_parameters(), skip);
  require_fit(found, skip, file.path());
  for (const NamedTensor& parameter : found.taken) load(file, parameter);
  session.require_finite(source.path());
  return {source.path(), checksum_of(InputFile(file.path())), report_of(source, found),
          source.checkpoint ? warning_of(*source.checkpoint, config, data) : std::string()};
}

void refuse_own_weights(const std::string& init_from, const std::string& run_dir) {
  std::error_code error;
  const fs::path from = fs::weakly_canonical(stated_path(init_from), error);
  const fs::path own = fs::weakly_canonical(stated_path(run_dir), error);
  const fs::path inside = from.lexically_relative(own);
  if (inside.empty() || *inside.begin() == "..") return;
  throw ConfigError(
      "train.init_from: {} belongs to the run folder {} itself. Continue that run with --resume "
      "auto, or start from its weights in another --run-dir",
      init_from, run_dir);
}

}  // namespace ssa
