#include "apps/score_record.h"

#include <algorithm>

#include <fmt/format.h>

#include "ssa/config/eval_length.h"
#include "ssa/storage/checksum.h"
#include "ssa/train/run_state.h"

namespace ssa {

namespace {

/// Whether a key changes what is scored or how: not how it was trained, which the weights are a
/// result of, nor what only decides about speed. The data are compared by what they hold, the mode
/// and the number of samples stand in every score.
bool changes_score(const std::string& key, std::string_view split) {
  if (key == "data.validation") return split != "test";  // where train ends and valid begins
  return changes_function(key) || key == "train.seed" || key == "train.precision" ||
         key == "data.length" || key == "eval.length" || key == "eval.overlap" ||
         (key.starts_with("ssa.") && key != "ssa.finetune_fraction");
}

std::vector<ConfigDifference> config_differences(const ScoreSubject& subject) {
  auto found = config_differences(subject.run_config, subject.config);
  std::erase_if(
      found, [&](const ConfigDifference& one) { return !changes_score(one.key, subject.split); });
  return found;
}

bool has_other_data(const ScoreSubject& subject) {
  return !data_difference(subject.run_data, subject.data).empty();
}

/// The run itself is scored with the weights that its eval.weights names.
bool uses_other_weights(const ScoreSubject& subject) {
  const bool average = subject.run_config.eval.weights == EvalWeights::average;
  return subject.has_average && subject.uses_average != average;
}

/// Part of a split is not its beginning: that of classified pictures is sorted by class.
bool takes_evenly(const ScoreSubject& subject) {
  return subject.config.task == TaskKind::image_classification;
}

/// Fit for a file name; what is too long ends in a checksum of the whole.
std::string as_file_name(std::string text) {
  constexpr size_t kMost = 120;
  Checksum checksum;
  checksum.update(text.data(), text.size());
  for (char& c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && c != '-' && c != '_' && c != '.') c = '_';
  }
  if (text.size() > kMost) text = text.substr(0, kMost) + "-" + checksum.hex().substr(0, 8);
  return text;
}

}  // namespace

std::vector<std::string> differences(const ScoreSubject& subject) {
  std::vector<std::string> found;
  if (subject.step != subject.newest_step) {
    found.push_back(fmt::format("step {}, the newest is {}", subject.step, subject.newest_step));
  }
  if (uses_other_weights(subject)) {
    found.push_back(subject.uses_average ? "the moving average of the weights, not the trained ones"
                                         : "the trained weights, not their moving average");
  }
  if (subject.in_int8) found.push_back("weights rounded to int8");
  if (has_other_data(subject)) found.push_back("data " + to_text(subject.data));
  if (subject.terms < subject.split_terms) {
    const std::string part =
        fmt::format("{} of {} in the split", subject.terms, subject.split_terms);
    found.push_back(takes_evenly(subject) ? part + ", evenly spread" : "the first " + part);
  }
  for (const ConfigDifference& one : config_differences(subject)) found.push_back(to_text(one));
  return found;
}

nlohmann::json to_json(const ScoreSubject& subject) {
  nlohmann::json json{{"mode", subject.mode},
                      {"split", subject.split},
                      {"samples", subject.samples},
                      {"step", subject.step},
                      {"tokens", subject.terms},
                      {"split_tokens", subject.split_terms},
                      {"overrides", subject.overrides},
                      {"differences", differences(subject)},
                      {"weights", subject.uses_average ? "average" : "trained"},
                      {"int8", subject.in_int8}};
  json["data"] = {{"name", subject.data.name},
                  {"path", subject.data.path},
                  {"bytes", subject.data.bytes},
                  {"checksum", subject.data.checksum},
                  {"vocabulary_checksum", subject.data.vocabulary_checksum}};
  const Config& config = subject.config;
  if (value_of_key(config, "eval.overlap")) {
    json["window"] = eval_length(config).tokens;
    json["overlap"] = config.eval.overlap;
  }
  return json;
}

std::string file_name(const ScoreSubject& subject) {
  std::string label;
  if (subject.mode == "ensemble" && subject.samples != subject.run_config.eval.samples) {
    label += fmt::format(".samples-{}", subject.samples);
  }
  if (subject.step != subject.newest_step) label += fmt::format(".step-{}", subject.step);
  if (uses_other_weights(subject)) {
    label += subject.uses_average ? ".average-weights" : ".trained-weights";
  }
  if (subject.in_int8) label += ".int8";
  if (has_other_data(subject)) {
    const std::string& checksum = subject.data.checksum;
    label += fmt::format(".data-{}-{}", subject.data.name,
                         checksum.empty() ? std::to_string(subject.data.bytes) : checksum);
  }
  if (subject.terms < subject.split_terms) {
    label += fmt::format(".{}-{}", takes_evenly(subject) ? "evenly" : "first", subject.terms);
  }
  for (const ConfigDifference& one : config_differences(subject)) {
    label += fmt::format(".{}-{}", one.key, one.now);
  }
  return fmt::format("eval-{}-{}{}.json", subject.mode, subject.split, as_file_name(label));
}

}  // namespace ssa
