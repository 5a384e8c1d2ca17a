#include "apps/term_losses.h"

#include <charconv>

#include <fmt/format.h>

#include "ssa/storage/safetensors.h"

namespace ssa {

namespace {

constexpr const char* kFormat = "ssa-eval per-token 1";

ConfigError unwritable(const std::string& path, const std::string& reason) {
  return ConfigError("--per-token {}: cannot be written: {}", path, reason);
}

template <class T>
NamedTensor named(const std::string& name, const std::vector<T>& values) {
  return {name, Tensor::from(values, {std::ssize(values)}, Device::cpu, MemoryCategory::data)};
}

SafetensorsMetadata metadata_of(const ScoreSubject& subject, TaskKind task) {
  return {{"format", kFormat},
          {"task", std::string(name(task))},
          {"mode", subject.mode},
          {"split", subject.split},
          {"samples", std::to_string(subject.samples)},
          {"step", std::to_string(subject.step)},
          {"data_name", subject.data.name},
          {"data_bytes", std::to_string(subject.data.bytes)},
          {"data_checksum", subject.data.checksum},
          {"vocabulary_checksum", subject.data.vocabulary_checksum}};
}

/// A number in a file's metadata; 0 where there is none.
int64_t whole(const std::string& text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

void TermLosses::add(const EvalSet& set, const ItemPrediction& prediction) {
  const std::vector<int32_t> targets = set.targets(prediction.item);
  token.insert(token.end(), targets.begin(), targets.end());
  for (const double log_probability : prediction.numbers) loss.push_back(-log_probability);
  window.insert(window.end(), targets.size(), static_cast<int32_t>(prediction.item));
  if (!prediction.spread) return;
  for (const double one : prediction.spread->deviations) spread.push_back(static_cast<float>(one));
}

bool has_term_losses(const EvalSet& set) { return set.items() > 0 && !set.targets(0).empty(); }

void require_term_losses(const EvalSet& set, const std::string& option, TaskKind task) {
  if (has_term_losses(set)) return;
  throw ConfigError(
      "{}: task {} scores no tokens one by one. See --predictions FILE for a line about each item",
      option, name(task));
}

ScoreMeans means_of(const std::vector<double>& losses, const EvalSet& set) {
  ScoreMeans means;
  size_t next = 0;
  for (int64_t item = 0; item < set.items(); ++item) {
    Score score;
    for (int64_t i = 0; i < set.terms(item); ++i) score.loss += losses.at(next++);
    means.add(score, static_cast<double>(set.terms(item)));
  }
  return means;
}

TermLossFile::TermLossFile(const std::string& path) : path_(path) {
  if (path_ == "-") {
    throw ConfigError(
        "--per-token -: the losses are binary (safetensors), so name a file. "
        "--predictions - writes losses as text");
  }
  try {
    replacement_.emplace(path_);
  } catch (const CheckpointError& error) {
    throw unwritable(path_, error.what());
  }
}

void TermLossFile::finish(const TermLosses& losses, const ScoreSubject& subject, TaskKind task) {
  std::vector<NamedTensor> tensors = {named("loss", losses.loss), named("token", losses.token),
                                      named("window", losses.window)};
  if (!losses.spread.empty()) tensors.push_back(named("spread", losses.spread));
  try {
    write_safetensors(replacement_->file(), tensors, metadata_of(subject, task));
    replacement_->commit();
  } catch (const CheckpointError& error) {
    throw unwritable(path_, error.what());
  }
}

StoredLosses read_term_losses(const std::string& path) {
  try {
    const SafetensorsFile file(path);
    const auto entry = [&](const char* key) {
      const auto found = file.metadata().find(key);
      return found == file.metadata().end() ? std::string() : found->second;
    };
    if (entry("format") != kFormat) {
      throw ConfigError("--compare {}: not a file that `ssa-eval --per-token` has written", path);
    }
    const Tensor loss = file.load("loss", Device::cpu, MemoryCategory::data);
    const auto* first = loss.data<double>();
    return {.path = path,
            .mode = entry("mode"),
            .split = entry("split"),
            .task = entry("task"),
            .samples = whole(entry("samples")),
            .step = whole(entry("step")),
            .data = {.bytes = whole(entry("data_bytes")),
                     .checksum = entry("data_checksum"),
                     .vocabulary_checksum = entry("vocabulary_checksum"),
                     .name = entry("data_name")},
            .loss = {first, first + loss.numel()}};
  } catch (const CheckpointError& error) {
    throw ConfigError("--compare takes a run folder, or a file of --per-token: {}", error.what());
  } catch (const ShapeError& error) {
    throw ConfigError("--compare {}: {}", path, error.what());
  }
}

}  // namespace ssa
