#include "ssa/tasks/prediction_bins.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace ssa {

void ConfidenceBins::Bin::add(bool is_right, double with_confidence) {
  ++count;
  right += is_right ? 1.0 : 0.0;
  confidence += with_confidence;
}

void ConfidenceBins::add(bool is_right, double confidence) {
  const double bin = std::ceil(confidence * static_cast<double>(kBins)) - 1;
  all_.add(is_right, confidence);
  bins_[static_cast<size_t>(std::clamp(bin, 0.0, static_cast<double>(kBins - 1)))].add(is_right,
                                                                                       confidence);
}

double ConfidenceBins::calibration_error() const {
  double error = 0;
  for (const Bin& bin : bins_) error += std::abs(bin.right - bin.confidence) / all_.count;
  return error;
}

EvalTable ConfidenceBins::reliability(const std::string& terms) const {
  std::string named = terms;
  named.front() = static_cast<char>(std::toupper(named.front()));
  EvalTable table{
      .key = "reliability",
      .title = "Reliability",
      .about =
          fmt::format("{} by the confidence of their prediction, in 15 bins. On the dashed line "
                      "the model is right as often as it says; below it, it is too sure.",
                      named),
      .drawing = EvalTable::Drawing::curve,
      .diagonal = true,
      .columns = {{"confidence", "mean confidence"}, {"accuracy", "accuracy"}, {"items", terms}}};
  for (const Bin& bin : bins_) {
    if (bin.count == 0) continue;
    table.rows.push_back({bin.confidence / bin.count, bin.right / bin.count, bin.count});
  }
  return table;
}

void SpreadBins::add(double spread, std::initializer_list<double> values) {
  spreads_.push_back(spread);
  values_.insert(values_.end(), values);
}

bool SpreadBins::differ() const {
  return std::ranges::any_of(spreads_, [](double spread) { return spread > 0; });
}

std::vector<std::vector<EvalTable::Cell>> SpreadBins::rows() const {
  std::vector<size_t> sorted(spreads_.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::stable_sort(sorted.begin(), sorted.end(),
                   [this](size_t a, size_t b) { return spreads_[a] < spreads_[b]; });
  const size_t values = spreads_.empty() ? 0 : values_.size() / spreads_.size();
  std::vector<std::vector<EvalTable::Cell>> rows;
  for (size_t bin = 0; bin < kBins; ++bin) {
    const size_t begin = bin * sorted.size() / kBins, end = (bin + 1) * sorted.size() / kBins;
    if (begin == end) continue;
    std::vector<double> sums(1 + values, 0.0);
    for (size_t i = begin; i < end; ++i) {
      sums[0] += spreads_[sorted[i]];
      for (size_t v = 0; v < values; ++v) sums[1 + v] += values_[sorted[i] * values + v];
    }
    const auto count = static_cast<double>(end - begin);
    std::vector<EvalTable::Cell>& row = rows.emplace_back();
    for (const double sum : sums) row.emplace_back(sum / count);
    row.emplace_back(count);
  }
  return rows;
}

}  // namespace ssa
