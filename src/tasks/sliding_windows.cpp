#include "tasks/sliding_windows.h"

#include <algorithm>

#include "ssa/config/eval_length.h"
#include "ssa/tasks/language_model.h"
#include "ssa/tasks/token_analysis.h"

#include "tasks/prediction_line.h"

namespace ssa {

namespace {

/// The length of windows over so many tokens.
int64_t cut_length(const Config& config, int64_t tokens) {
  const int64_t windows = config.ssa.kind == SsaKind::local ? config.ssa.windows : 1;
  const int64_t whole_text = (tokens + windows - 1) / windows * windows;
  return std::min(eval_length(config).tokens, std::max(whole_text, config.data.length));
}

}  // namespace

SlidingWindows::SlidingWindows(const Config& config, TokenSequence tokens)
    : tokens_(std::move(tokens)), length_(cut_length(config, tokens_.size)) {
  const bool is_cut = length_ < eval_length(config).tokens;
  windows_ = sliding_windows(tokens_.size, length_, is_cut ? 0 : config.eval.overlap);
}

std::vector<double> SlidingWindows::prediction(int64_t item, std::span<const double> losses) const {
  const EvalWindow& one = window(item);
  const auto scored = losses.subspan(static_cast<size_t>(one.score_from - one.start),
                                     static_cast<size_t>(terms(item)));
  std::vector<double> log_probabilities(scored.begin(), scored.end());
  for (double& value : log_probabilities) value = -value;
  return log_probabilities;
}

Score SlidingWindows::score(int64_t /*item*/, std::span<const double> log_probabilities) const {
  Score score;
  for (const double value : log_probabilities) score.loss += -value;
  return score;
}

std::vector<int32_t> SlidingWindows::targets(int64_t item) const {
  std::vector<int32_t> targets(static_cast<size_t>(terms(item)));
  tokens_.read(window(item).score_from, targets);
  return targets;
}

std::string SlidingWindows::prediction_line(const ItemPrediction& prediction) const {
  return loss_line(prediction);
}

std::unique_ptr<Analysis> SlidingWindows::analysis() const {
  return std::make_unique<TokenAnalysis>("tokens", length_, [this](int64_t item) {
    return TokenWindow{window(item).score_from - window(item).start, targets(item)};
  });
}

std::unique_ptr<EvalSet> text_evaluation(const Config& config, const Vocabulary& vocabulary,
                                         std::vector<int32_t> tokens) {
  return std::make_unique<SlidingWindows>(config,
                                          sequence_of(std::move(tokens), vocabulary.start_token()));
}

}  // namespace ssa
