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

void PredictionMean::add(std::span<const double> prediction) {
  const bool logs = averaging_ == Averaging::log_probabilities;
  sum_.resize(prediction.size(), logs ? -std::numeric_limits<double>::infinity() : 0.0);
  for (size_t i = 0; i < prediction.size(); ++i) {
    sum_[i] = logs ? log_add(sum_[i], prediction[i]) : sum_[i] + prediction[i];
  }
  ++samples_;
}

std::vector<double> PredictionMean::mean() const {
  const auto samples = static_cast<double>(samples_);
  const double log_samples = std::log(samples);
  std::vector<double> mean = sum_;
  for (double& value : mean) {
    value = averaging_ == Averaging::log_probabilities ? value - log_samples : value / samples;
  }
  return mean;
}

EnsembleCurve::EnsembleCurve(const EvalSet& set, int64_t samples, size_t counted,
                             OnPrediction on_prediction)
    : set_(set),
      on_prediction_(std::move(on_prediction)),
      together_(static_cast<size_t>(samples - 1), ScoreMeans(counted)),
      renorm_(counted),
      single_(static_cast<size_t>(samples), 0.0) {
  together_.emplace_back(counted, set.partitions());
}

EnsembleCurve::Item EnsembleCurve::empty_item(int64_t number) const {
  const Averaging averaging = set_.averaging();
  return {{},
          PredictionMean(averaging),
          on_prediction_ ? std::optional<SubModelSpread>(averaging) : std::nullopt,
          LikelyMean(set_.terms(number)),
          {},
          {}};
}

void EnsembleCurve::add(int64_t first_item, const std::vector<Predicted>& predictions) {
  for (size_t i = 0; i < predictions.size(); ++i) {
    const int64_t number = first_item + static_cast<int64_t>(i);
    if (models_at_hand_ == 0) {
      at_hand_.push_back(empty_item(number));
      at_hand_.back().dense = set_.score(number, predictions[i].numbers);
    } else {
      add_sub_model(number, at_hand_[i], predictions[i]);
    }
  }
  if (models_at_hand_++ == static_cast<int64_t>(single_.size())) finish_draw(first_item);
}

void EnsembleCurve::add_sub_model(int64_t number, Item& item, const Predicted& predicted) const {
  item.mean.add(predicted.numbers);
  if (item.spread) item.spread->add(predicted.numbers);
  if (!predicted.likely.empty()) item.likely.add(predicted.likely);
  item.single.push_back(set_.score(number, predicted.numbers).loss);
  item.together.push_back(set_.score(number, item.mean.mean()));
}

void EnsembleCurve::hand_out(int64_t number, const Item& item) const {
  if (!on_prediction_) return;
  const std::vector<double> mean = item.mean.mean();
  const Spread spread = item.spread->spread();
  const std::vector<LikeliestClass> likeliest = item.likely.likeliest();
  on_prediction_({number, mean, &spread, likeliest});
}

void EnsembleCurve::finish_draw(int64_t first_item) {
  for (size_t i = 0; i < at_hand_.size(); ++i) {
    const Item& item = at_hand_[i];
    const int64_t number = first_item + static_cast<int64_t>(i);
    const auto terms = static_cast<double>(set_.terms(number));
    renorm_.add(item.dense, terms);
    for (size_t r = 0; r < single_.size(); ++r) {
      single_[r] += item.single[r];
      together_[r].add(item.together[r], terms);
    }
    terms_ += terms;
    hand_out(number, item);
  }
  at_hand_.clear();
  models_at_hand_ = 0;
}

double EnsembleCurve::spread() const {
  std::vector<double> losses = single_;
  for (double& sum : losses) sum /= std::max(1.0, terms_);
  return standard_deviation(losses);
}

}  // namespace ssa
