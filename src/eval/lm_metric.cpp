#include "ssa/eval/lm_metric.h"

#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "ssa/core/error.h"

namespace ssa {

double bits(double nats) { return nats / std::numbers::ln2; }

LmMetric::LmMetric(Task task) : words_(task == Task::word_lm) {
  if (task != Task::word_lm && task != Task::byte_lm) {
    throw ConfigError("task: {} is no language model; byte_lm and word_lm are",
                      choices(task)[static_cast<size_t>(task)]);
  }
}

double LmMetric::value(double loss) const { return words_ ? std::exp(loss) : bits(loss); }

double LmMetric::deviation(double loss, double deviation_of_loss) const {
  return words_ ? std::exp(loss) * deviation_of_loss : bits(deviation_of_loss);
}

std::string LmMetric::text(double loss) const {
  return words_ ? fmt::format("perplexity {:.2f}", value(loss))
                : fmt::format("{:.4f} bits/byte", value(loss));
}

Config config_for_data(Config config, const TokenDataset& dataset) {
  const DatasetInfo& info = dataset.info();
  const bool words = info.kind == TokenKind::words;
  if (words != (config.task == Task::word_lm)) {
    throw ConfigError(
        "task is {}, but data.path '{}' holds {}. {}",
        choices(config.task)[static_cast<size_t>(config.task)], dataset.path(),
        words ? "words" : "bytes",
        words ? "Set task: word_lm"
              : "Set task: byte_lm, or make words of a text with `ssa-data prepare words`");
  }
  if (!words) return config;
  if (config.data.vocabulary != 0 && config.data.vocabulary != info.vocabulary) {
    throw ConfigError(
        "data.vocabulary is {}, but the vocabulary of data.path '{}' has {} words. Leave it at 0 "
        "to "
        "take the data's",
        config.data.vocabulary, dataset.path(), info.vocabulary);
  }
  config.data.vocabulary = info.vocabulary;
  return config;
}

}  // namespace ssa
