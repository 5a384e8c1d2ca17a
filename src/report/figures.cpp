#include "ssa/report/figures.h"

#include "ssa/tasks/metric.h"

namespace ssa::report {

namespace {

std::optional<double> ratio(std::optional<double> value, std::optional<double> base) {
  if (!value || !base || *base == 0) return std::nullopt;
  return *value / *base;
}

Figures scores_and_compute(const Run& run) {
  const Metric& metric = traits_of(run.config.task).metric();
  Figures figures;
  figures.train_loss = last_value(run, "train", loss_metric());
  figures.valid = last_value(run, "valid", metric);
  figures.whole_valid = value_of(metric, run.evaluation("renorm", "valid"));
  if (run.config.train.eval_tokens == 0) {
    if (!figures.whole_valid) figures.whole_valid = figures.valid;
    const LoggedEvent* const best = best_validation(run, metric);
    if (best) figures.best_valid = value_of(metric, *best);
  }
  figures.test = value_of(metric, run.evaluation("renorm", "test"));
  const Evaluation* ensemble = run.evaluation("ensemble", "test");
  figures.ensemble_test = value_of(metric, ensemble);
  if (ensemble) figures.ensemble_samples = ensemble->samples;
  if (run.cost) figures.compute = run.cost->compute_ratio;
  return figures;
}

}  // namespace

std::vector<Figures> figures_of(const std::vector<Run>& runs) {
  std::vector<Config> configs;
  for (const Run& run : runs) configs.push_back(run.config);
  std::vector<Figures> all;
  for (const Run& run : runs) {
    Figures& figures = all.emplace_back(scores_and_compute(run));
    const auto partner = dense_partner(configs, run.config);
    if (!partner) continue;
    const Run& dense = runs[*partner];
    figures.memory = ratio(run.peak_memory_bytes(), dense.peak_memory_bytes());
    figures.speed = ratio(run.overall_terms_per_second(), dense.overall_terms_per_second());
  }
  return all;
}

}  // namespace ssa::report
