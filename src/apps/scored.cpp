#include "apps/scored.h"

#include <cmath>
#include <iostream>

#include <fmt/format.h>

#include "ssa/core/version.h"
#include "ssa/tasks/analysis_json.h"
#include "ssa/train/progress.h"

namespace ssa {

namespace {

/// Standard deviation of the single sub-models' scores, taken at the first one's score. If the
/// metric does not follow from the loss, the standard deviation of their losses.
double spread(const EvalResult& result, const Metric& metric) {
  if (!metric.deviation) return result.spread;
  return metric.deviation(result.curve.front().loss, result.spread);
}

nlohmann::json to_json(const PartitionScores& of) {
  nlohmann::json list = nlohmann::json::array();
  for (size_t k = 0; k < of.scores.size(); ++k) {
    list.push_back({{"part", of.partition.parts[k]},
                    {"value", of.scores[k].value},
                    {"stderr", of.scores[k].stderr_}});
  }
  return list;
}

nlohmann::json to_json(const CurvePoint& point) {
  const MetricValue &metric = point.metrics.front(), &difference = point.difference;
  return {{"samples", point.samples},
          {"value", metric.value},
          {"stderr", metric.stderr_},
          {"difference", difference.value},
          {"difference_stderr", difference.stderr_}};
}

nlohmann::json to_json(const RenormScore& renorm, const std::vector<Metric>& metrics) {
  nlohmann::json json{{"loss", renorm.loss}};
  for (size_t i = 0; i < metrics.size(); ++i) {
    json[std::string(metrics[i].key)] = renorm.metrics[i].value;
    json["stderr"][std::string(metrics[i].key)] = renorm.metrics[i].stderr_;
  }
  return json;
}

void add_ensemble(nlohmann::json& json, const Scored& scored) {
  const EvalResult& result = scored.result;
  json["spread"] = spread(result, scored.traits->metric());
  json["renorm"] = to_json(result.renorm, scored.traits->metrics);
  const MetricValue& difference = result.curve.back().difference;
  json["difference"] = {{"value", difference.value}, {"stderr", difference.stderr_}};
}

void print_curve(const Scored& scored) {
  if (scored.result.curve.empty()) return;
  std::cout << fmt::format("samples  {:>10}  stderr   to renorm  stderr\n",
                           scored.traits->metric().label);
  for (const CurvePoint& point : scored.result.curve) {
    std::cout << fmt::format("{:7}  {:10.4f}  {:6}  {:+10.4f}  {:6}\n", point.samples,
                             point.metrics.front().value, error_text(point.metrics.front().stderr_),
                             point.difference.value, error_text(point.difference.stderr_));
  }
}

void print_ensemble(const Scored& scored) {
  const EvalResult& result = scored.result;
  const Metric& metric = scored.traits->metric();
  std::cout << fmt::format("single sub-models spread by {:.4f} {}; {:.2f} s a model\n",
                           spread(result, metric), metric.deviation ? metric.label : "nats",
                           result.seconds / static_cast<double>(scored.subject.samples + 1));
  const MetricValue& difference = result.curve.back().difference;
  std::cout << fmt::format(
      "renorm on the same {}: {}; the ensemble less renorm: {:+.4f}, standard error {}\n",
      scored.traits->terms, metric.text(result.renorm.metrics.front().value), difference.value,
      error_text(difference.stderr_));
}

}  // namespace

nlohmann::json to_json(const Scored& scored) {
  const EvalResult& result = scored.result;
  const std::vector<Metric>& metrics = scored.traits->metrics;
  nlohmann::json json = to_json(scored.subject);
  json["seconds"] = result.seconds;
  json["ranks"] = scored.ranks;
  json["device"] = scored.device;
  json["engine"] = {{"version", version()}, {"commit", git_commit()}};
  if (!scored.has_score()) {
    json["predicted"] = scored.without_target.of;
    json["without_target"] = scored.without_target.items;
    return json;
  }
  json["loss"] = result.loss;
  for (size_t i = 0; i < metrics.size(); ++i) {
    json[std::string(metrics[i].key)] = result.metrics[i];
    json["stderr"][std::string(metrics[i].key)] = result.errors[i];
  }
  for (const PartitionScores& one : result.partitions) {
    json["parts"][one.partition.key] = to_json(one);
  }
  json["curve"] = nlohmann::json::array();
  for (const CurvePoint& point : result.curve) json["curve"].push_back(to_json(point));
  if (scored.is_ensemble()) add_ensemble(json, scored);
  if (!scored.tables.empty()) json["analysis"] = to_json(scored.tables);
  return json;
}

std::string error_text(double standard_error) {
  return std::isfinite(standard_error) ? fmt::format("{:.4f}", standard_error) : "–";
}

std::string name_of(const Scored& scored) {
  const ScoreSubject& subject = scored.subject;
  return fmt::format(
      "{} {} of step {}", subject.split,
      scored.is_ensemble() ? fmt::format("ensemble of {}", subject.samples) : "renorm",
      subject.step);
}

void print(const Scored& scored, bool curve) {
  const EvalResult& result = scored.result;
  const TaskTraits& traits = *scored.traits;
  if (!scored.has_score()) {
    std::cout << fmt::format("{}: {} {} predicted, {}. No score: {} of them have no target\n",
                             name_of(scored), scored.without_target.of, traits.examples,
                             format_duration(result.seconds), scored.without_target.items);
    return;
  }
  std::string metrics;
  for (size_t i = 0; i < traits.metrics.size(); ++i) {
    metrics += traits.metrics[i].text(result.metrics[i]) + ", ";
  }
  std::cout << fmt::format("{}: {}loss {:.4f}{}, {} {}, {}\n", name_of(scored), metrics,
                           result.loss, traits.loss_unit, result.terms, traits.terms,
                           format_duration(result.seconds));
  if (scored.is_ensemble()) print_ensemble(scored);
  for (const std::string& one : differences(scored.subject)) {
    std::cout << fmt::format("not what the run itself is scored on: {}\n", one);
  }
  if (curve) print_curve(scored);
}

void print_table(const std::vector<Scored>& all, bool curve) {
  const Scored& first = all.front();
  const TaskTraits& traits = *first.traits;
  std::cout << fmt::format("{:6}  {:>12}  {:>8}", "split", traits.terms, "loss");
  for (const Metric& metric : traits.metrics)
    std::cout << fmt::format("  {:>10}  stderr", metric.label);
  if (first.is_ensemble()) std::cout << "   to renorm  stderr";
  std::cout << '\n';
  for (const Scored& scored : all) {
    const EvalResult& result = scored.result;
    std::cout << fmt::format("{:6}  {:12}  {:8.4f}", scored.subject.split, result.terms,
                             result.loss);
    for (size_t i = 0; i < traits.metrics.size(); ++i) {
      std::cout << fmt::format("  {:10.4f}  {:6}", result.metrics[i], error_text(result.errors[i]));
    }
    if (scored.is_ensemble()) {
      const MetricValue& difference = result.curve.back().difference;
      std::cout << fmt::format("  {:+10.4f}  {:6}", difference.value,
                               error_text(difference.stderr_));
    }
    std::cout << '\n';
  }
  if (!curve || !first.is_ensemble()) return;
  for (const Scored& scored : all) {
    std::cout << scored.subject.split << '\n';
    print_curve(scored);
  }
}

}  // namespace ssa
