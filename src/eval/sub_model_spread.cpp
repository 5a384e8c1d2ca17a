#include "eval/sub_model_spread.h"

#include <algorithm>
#include <cmath>

namespace ssa {

namespace {

double p_log_p(double p, double log_p) { return p > 0 ? p * log_p : 0.0; }

}  // namespace

void SubModelSpread::add(std::span<const double> prediction) {
  const bool logs = averaging_ == Averaging::log_probabilities;
  moments_.resize(prediction.size());
  ++samples_;
  for (size_t i = 0; i < prediction.size(); ++i) {
    Moments& of = moments_[i];
    const double value = logs ? std::exp(prediction[i]) : prediction[i];
    const double distance = value - of.mean;
    of.mean += distance / samples_;
    of.squares += distance * (value - of.mean);
    if (logs) of.entropy_terms += p_log_p(value, prediction[i]);
  }
}

Spread SubModelSpread::spread() const {
  Spread spread;
  for (const Moments& of : moments_) {
    spread.deviations.push_back(samples_ > 1 ? std::sqrt(of.squares / (samples_ - 1)) : 0.0);
    if (averaging_ != Averaging::log_probabilities) continue;
    const double information = of.entropy_terms / samples_ - p_log_p(of.mean, std::log(of.mean));
    spread.information.push_back(std::max(0.0, information));  // rounding may leave -1e-17
  }
  return spread;
}

}  // namespace ssa
