#include "eval/ensemble_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ssa {

namespace {

double log_add(double a, double b) {
  const double high = std::max(a, b);
  if (!std::isfinite(high)) return high;
  return high + std::log(std::exp(a - high) + std::exp(b - high));
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace

double WindowMean::mean() const {
  double loss = 0, count = 0;
  for (const auto& [sum, tokens] : windows_) {
    loss += sum;
    count += tokens;
  }
  return count > 0 ? loss / count : 0.0;
}

double WindowMean::standard_error() const {
  const auto n = static_cast<double>(windows_.size());
  if (windows_.size() < 2) return 0.0;
  const double centre = mean();
  double count = 0, squares = 0;
  for (const auto& [sum, tokens] : windows_) {
    count += tokens;
    squares += (sum - centre * tokens) * (sum - centre * tokens);
  }
  return std::sqrt(squares * n / (n - 1)) / count;
}

void TokenEnsemble::add(const std::vector<double>& losses) {
  log_sum_.resize(losses.size(), -std::numeric_limits<double>::infinity());
  for (size_t i = 0; i < losses.size(); ++i) log_sum_[i] = log_add(log_sum_[i], -losses[i]);
  ++samples_;
}

double TokenEnsemble::loss_sum() const {
  const double log_samples = std::log(static_cast<double>(samples_));
  double total = 0;
  for (const double log_sum : log_sum_) total += log_samples - log_sum;
  return total;
}

EnsembleCurve::EnsembleCurve(int64_t samples)
    : together_(static_cast<size_t>(samples)), single_(static_cast<size_t>(samples), 0.0) {}

void EnsembleCurve::add(const std::vector<double>& losses) {
  double own = 0;
  for (const double loss : losses) own += loss;
  window_.add(losses);
  single_at_hand_.push_back(own);
  together_at_hand_.push_back(window_.loss_sum());
  if (single_at_hand_.size() == single_.size()) finish_window(static_cast<double>(losses.size()));
}

void EnsembleCurve::finish_window(double tokens) {
  for (size_t r = 0; r < single_.size(); ++r) {
    single_[r] += single_at_hand_[r];
    together_[r].add(together_at_hand_[r], tokens);
  }
  tokens_ += tokens;
  single_at_hand_.clear();
  together_at_hand_.clear();
  window_ = TokenEnsemble();
}

double EnsembleCurve::spread() const {
  std::vector<double> losses = single_;
  for (double& sum : losses) sum /= std::max(1.0, tokens_);
  return standard_deviation(losses);
}

}  // namespace ssa
