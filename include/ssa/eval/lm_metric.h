#pragma once

#include <string>
#include <string_view>

#include "ssa/config/config.h"
#include "ssa/data/token_dataset.h"

namespace ssa {

/// What a language-model task reports instead of its loss: bits per byte (loss / ln 2) for bytes,
/// perplexity (exp loss) for words.
class LmMetric {
 public:
  /// Throws ConfigError for a task that is no language model.
  explicit LmMetric(Task task);

  /// In metrics and JSON: "bits_per_byte" or "perplexity".
  std::string_view key() const { return words_ ? "perplexity" : "bits_per_byte"; }
  /// For people: "bits/byte" or "perplexity".
  std::string_view label() const { return words_ ? "perplexity" : "bits/byte"; }
  /// What a token is: "bytes" or "tokens".
  std::string_view tokens() const { return words_ ? "tokens" : "bytes"; }
  /// `loss`: nats a token.
  double value(double loss) const;
  /// What a small deviation of the loss, such as its standard error, is in the metric (to first
  /// order).
  double deviation(double loss, double deviation_of_loss) const;
  /// "3.0657 bits/byte", "perplexity 45.21".
  std::string text(double loss) const;

 private:
  bool words_;
};

/// nats → bits
double bits(double nats);

/// The config with data.vocabulary as the data have it. Throws ConfigError if config.task does not
/// fit the data, or if the config states another vocabulary than they have.
Config config_for_data(Config config, const TokenDataset& dataset);

}  // namespace ssa
