#include <algorithm>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/models/decoder_plans.h"

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"
#include "report/source_map.h"

namespace ssa::report {

namespace {

constexpr int kDraws = 200;
constexpr size_t kMostPlans = 4;

/// What makes two runs' maps look the same.
bool same_plans(const Run& a, const Run& b) {
  SsaConfig first = a.config.ssa, second = b.config.ssa;
  first.finetune_fraction = second.finetune_fraction = 0;
  return first == second && a.config.model.layers == b.config.model.layers &&
         a.config.data.length == b.config.data.length;
}

std::string layer_title(const PlanSpec& spec, size_t layer) {
  if (spec.kind == PlanKind::unbiased) {
    return fmt::format("Layer {}: {:.4g}% dropped", layer + 1, 100 * spec.drop);
  }
  return fmt::format("Layer {}: {} window{}, σ {:.4g}", layer + 1, spec.windows,
                     spec.windows == 1 ? "" : "s", spec.sigma);
}

std::string one_map(const Run& run, const std::vector<PlanSpec>& specs, size_t layer) {
  const RngKey key{.seed = run.config.train.seed, .purpose = RngPurpose::plan};
  const SourceMap map =
      estimate_source_map(specs[layer], key.with_layer(static_cast<int64_t>(layer)), kDraws);
  if (map.draws == 0) return {};
  return render(map, layer_title(specs[layer], layer));
}

/// The first and the last layer that sample; one of them if they draw alike.
std::string maps_of(const Run& run) {
  const std::vector<PlanSpec> specs =
      decoder_plan_specs(run.config.ssa, run.config.model.layers, run.config.data.length);
  const auto samples = [](const PlanSpec& spec) { return spec.kind != PlanKind::dense; };
  const auto first = std::find_if(specs.begin(), specs.end(), samples);
  if (first == specs.end()) return {};
  const auto index = static_cast<size_t>(first - specs.begin());
  const size_t last = specs.size() - 1;  // SSA is always in the last layers
  const bool alike =
      specs[index].kind != PlanKind::local_1d || specs[index].sigma == specs[last].sigma;
  return (index == last || alike ? "" : one_map(run, specs, index)) + one_map(run, specs, last);
}

std::string names_of(const std::vector<Run>& runs, size_t index) {
  std::string names;
  for (size_t i = index; i < runs.size(); ++i) {
    if (i == index || same_plans(runs[index], runs[i])) names += run_chip(runs[i], i) + "\n";
  }
  return names;
}

}  // namespace

std::string plan_section(const std::vector<Run>& runs) {
  std::string body;
  size_t shown = 0;
  for (size_t i = 0; i < runs.size() && shown < kMostPlans; ++i) {
    const auto end = runs.begin() + static_cast<std::ptrdiff_t>(i);
    const auto known = [&](const Run& other) { return same_plans(other, runs[i]); };
    if (runs[i].config.ssa.kind == SsaKind::none || std::any_of(runs.begin(), end, known)) continue;
    std::string maps;
    try {
      maps = maps_of(runs[i]);
    } catch (const Error& error) {
      maps = fmt::format("<p>{}</p>\n", escape(error.what()));
    }
    if (maps.empty()) continue;
    body += fmt::format("<p class=\"legend\">{}</p>\n<div class=\"charts\">\n{}</div>\n",
                        names_of(runs, i), maps);
    ++shown;
  }
  if (body.empty()) return {};
  return section("sources", "Sampled sources",
                 fmt::format("<p class=\"about\">Probability that a window samples a source "
                             "position ({}), estimated from up to {} draws: in the first layer "
                             "that samples and in the last, or in the last alone where all "
                             "sample alike. The frame is where the window's own targets are.</p>\n",
                             source_map_scale(), kDraws) +
                     body);
}

}  // namespace ssa::report
