#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ssa {

/// Sums over windows, for a mean over tokens and its standard error: tokens of one window are not
/// independent, windows nearly are.
class WindowMean {
 public:
  void add(double loss_sum, double tokens) { windows_.push_back({loss_sum, tokens}); }
  double mean() const;
  double standard_error() const;

 private:
  std::vector<std::pair<double, double>> windows_;
};

/// Log-probabilities of one window's tokens, averaged over samples as they arrive.
class TokenEnsemble {
 public:
  /// Adds one sub-model's losses (tokens).
  void add(const std::vector<double>& losses);
  /// Sum over tokens of the negative log of the mean probability so far.
  double loss_sum() const;

 private:
  std::vector<double> log_sum_;
  int64_t samples_ = 0;
};

/// The loss of the mean prediction of 1, 2, … R sub-models. Takes their losses window by window, R
/// of them for each; a window counts once it has all of them.
class EnsembleCurve {
 public:
  explicit EnsembleCurve(int64_t samples);

  /// Losses (tokens) of the next sub-model.
  void add(const std::vector<double>& losses);
  /// Sub-models that the window at hand has so far; 0: it has not begun.
  int64_t samples_at_hand() const { return static_cast<int64_t>(single_at_hand_.size()); }

  /// Nats per token, of the first `samples` together.
  double loss(int64_t samples) const { return at(samples).mean(); }
  double standard_error(int64_t samples) const { return at(samples).standard_error(); }
  /// Standard deviation of the losses of the sub-models alone.
  double spread() const;

 private:
  const WindowMean& at(int64_t samples) const {
    return together_[static_cast<size_t>(samples - 1)];
  }
  void finish_window(double tokens);

  std::vector<WindowMean> together_;  // of the first 1, 2, …
  std::vector<double> single_;        // loss sums of each alone
  double tokens_ = 0;
  TokenEnsemble window_;  // at hand, with what it will add to together_ and single_:
  std::vector<double> together_at_hand_, single_at_hand_;
};

}  // namespace ssa
