#include "apps/compare_scores.h"

#include <cmath>
#include <iostream>

#include <fmt/format.h>

namespace ssa {

namespace {

/// Standard errors that a difference has to exceed: chance reaches them one time in twenty.
constexpr double kTold = 2;

/// What a comparison says: "a", "b", or "neither" if the difference may be chance.
std::string_view better(const MetricValue& difference, const Metric& metric) {
  const bool told = std::abs(difference.value) > kTold * difference.stderr_;  // not of NaN
  if (!told || difference.stderr_ == 0) {
    return "neither";
  }
  return (difference.value > 0) == metric.higher_is_better ? "a" : "b";
}

std::string verdict(const Comparison& comparison, const Metric& metric) {
  const MetricValue& difference = comparison.differences.front();
  if (comparison.items < 2) return "A single item has no standard error";
  if (difference.value == 0 && difference.stderr_ == 0) return "A and B score the same";
  const double errors = std::abs(difference.value) / difference.stderr_;
  const std::string_view who = better(difference, metric);
  if (who == "neither") {
    return fmt::format("{:.1f} standard errors: these data do not tell A and B apart", errors);
  }
  return fmt::format("{} is better, by {:.1f} standard errors", who == "a" ? "A" : "B", errors);
}

/// What standard errors are over.
std::string_view items_of(const TaskTraits& traits) {
  return traits.examples == "sequences" ? "windows" : traits.examples;
}

}  // namespace

ComparedTerms terms_of(const StoredLosses& stored) {
  return {stored.task, stored.split, stored.data, std::ssize(stored.loss), 0};
}

void require_comparable(const ComparedTerms& a, const ComparedTerms& b, const std::string& b_name) {
  const auto refuse = [&](const std::string& why) {
    throw ConfigError("--compare {}: {}. Only scores of the same data compare", b_name, why);
  };
  if (b.task != a.task) refuse(fmt::format("its task is {}, not {}", b.task, a.task));
  if (b.split != a.split) refuse(fmt::format("it is of the {} split, not of {}", b.split, a.split));
  const std::string difference = data_difference(a.data, b.data);
  if (!difference.empty()) {
    refuse(fmt::format("its data differ: {}. --set data.path=… scores both on the same data",
                       difference));
  }
  if (b.terms != a.terms || b.items != a.items) {
    refuse(fmt::format("it scores {} terms, not {}", b.terms, a.terms));
  }
}

OtherScore score_of(const StoredLosses& stored) {
  const std::string mode =
      stored.mode == "ensemble" ? fmt::format("ensemble of {}", stored.samples) : stored.mode;
  return {.name = stored.path,
          .what = fmt::format("{} {} of step {}", stored.split, mode, stored.step),
          .losses = stored.loss,
          .means = ScoreMeans(),
          .json = {{"file", stored.path},
                   {"mode", stored.mode},
                   {"split", stored.split},
                   {"samples", stored.samples},
                   {"step", stored.step}}};
}

Comparison compare(const Scored& a, const OtherScore& b, const EvalSet& set) {
  const ScoreMeans& b_means = b.losses.empty() ? b.means : means_of(b.losses, set);
  return {a.result.means.differences(b_means, a.traits->metrics), set.items()};
}

void print(const Scored& a, const std::string& a_name, const OtherScore& b,
           const Comparison& comparison) {
  const Metric& metric = a.traits->metric();
  const MetricValue& difference = comparison.differences.front();
  const double b_value = a.result.metrics.front() - difference.value;
  std::cout << fmt::format("A  {}  {}  {}\n", metric.text(a.result.metrics.front()), a_name,
                           name_of(a));
  std::cout << fmt::format("B  {}  {}  {}\n", metric.text(b_value), b.name, b.what);
  std::cout << fmt::format("A - B: {:+.4f} {}, standard error {} over {} {}\n{}\n",
                           difference.value, metric.label, error_text(difference.stderr_),
                           comparison.items, items_of(*a.traits), verdict(comparison, metric));
}

nlohmann::json to_json(const Scored& a, const OtherScore& b, const Comparison& comparison) {
  nlohmann::json json{{"a", to_json(a)}, {"b", b.json}, {"items", comparison.items}};
  const std::vector<Metric>& metrics = a.traits->metrics;
  for (size_t i = 0; i < metrics.size(); ++i) {
    json["difference"][std::string(metrics[i].key)] = comparison.differences[i].value;
    json["stderr"][std::string(metrics[i].key)] = comparison.differences[i].stderr_;
    json["b"][std::string(metrics[i].key)] = a.result.metrics[i] - comparison.differences[i].value;
  }
  json["better"] = better(comparison.differences.front(), metrics.front());
  return json;
}

}  // namespace ssa
