#pragma once

#include <vector>

#include "ssa/data/eval_windows.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// The tokens of a text, each scored once, by a sliding window of eval.length and eval.overlap.
class SlidingWindows : public EvalSet {
 public:
  /// A window that is longer than the text is cut to it, as LanguageModelData::evaluation() says.
  SlidingWindows(const Config& config, TokenSequence tokens);

  int64_t items() const override { return static_cast<int64_t>(windows_.size()); }
  int64_t terms(int64_t item) const override {
    return window(item).score_to - window(item).score_from;
  }
  int64_t total_terms() const override { return tokens_.size; }
  Batch batch(int64_t first, int64_t count) const override {
    return window_batch(tokens_, windows_, first, count, length_);
  }
  Averaging averaging() const override { return Averaging::log_probabilities; }
  /// Log-probabilities of the tokens that the window scores, from the losses of all its tokens.
  std::vector<double> prediction(int64_t item, std::span<const double> losses) const override;
  Score score(int64_t item, std::span<const double> log_probabilities) const override;
  std::vector<int32_t> targets(int64_t item) const override;
  std::string prediction_line(const ItemPrediction& prediction) const override;
  std::unique_ptr<Analysis> analysis() const override;

 private:
  const EvalWindow& window(int64_t item) const { return windows_[static_cast<size_t>(item)]; }

  TokenSequence tokens_;
  int64_t length_;
  std::vector<EvalWindow> windows_;
};

}  // namespace ssa
