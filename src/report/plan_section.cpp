#include <algorithm>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/report/numbers.h"
#include "ssa/tasks/task.h"

#include "report/connectivity.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/source_map.h"
#include "report/svg_plot.h"
#include "report/target_map.h"

namespace ssa::report {

namespace {

constexpr int kDraws = 200;  // of all maps together, for few runs
constexpr int kPathwayDraws = 20;
constexpr size_t kPlansInFull = 4;  // the maps of further plans are folded
constexpr size_t kMostPlans = 16;

constexpr std::string_view kGridWords =
    " Of pictures the windows are bands of rows. Around one target, the solid frame is its own "
    "pixel and the dashed one its band: with small σ it sees its band only, with larger σ also "
    "rows above, the nearer the likelier. Columns make no difference, for a band has all of them.";

/// Runs that draw from the same plans.
struct PlanGroup {
  std::vector<size_t> runs;     ///< indices
  std::vector<PlanSpec> specs;  ///< of the layers that sample, lowest first
  size_t first_layer = 0;
  std::string problem;  ///< why there are no specs
};

bool same_plans(const Run& a, const Run& b) {
  SsaConfig first = a.config.ssa, second = b.config.ssa;
  first.finetune_fraction = second.finetune_fraction = 0;
  return first == second && a.config.task == b.config.task &&
         a.config.model.layers == b.config.model.layers &&
         a.terms_per_example == b.terms_per_example;
}

std::vector<PlanGroup> group_runs(const std::vector<Run>& runs) {
  std::vector<PlanGroup> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Config& config = runs[i].config;
    if (config.ssa.kind == SsaKind::none) continue;
    const auto known = std::find_if(groups.begin(), groups.end(), [&](const PlanGroup& group) {
      return same_plans(runs[group.runs.front()], runs[i]);
    });
    if (known != groups.end()) {
      known->runs.push_back(i);
      continue;
    }
    PlanGroup group{{i}, {}, 0, {}};
    try {
      group.specs = make_task(config)->plan_specs(Sources::sampled, Use::training);
      const auto samples = [](const PlanSpec& spec) { return spec.kind != PlanKind::dense; };
      const auto first = std::find_if(group.specs.begin(), group.specs.end(), samples);
      group.first_layer = static_cast<size_t>(first - group.specs.begin());
      group.specs.erase(group.specs.begin(), first);
    } catch (const Error& error) {
      group.problem = error.what();
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

RngKey key_of(const Run& run) {
  return {.seed = run.config.train.seed, .purpose = RngPurpose::plan};
}

std::string layer_title(const PlanSpec& spec, size_t layer) {
  if (spec.kind == PlanKind::unbiased) {
    return fmt::format("Layer {}: {:.4g}% dropped", layer + 1, 100 * spec.drop);
  }
  return fmt::format("Layer {}: {} {}{}, σ {:.4g}", layer + 1, spec.windows,
                     is_grid(spec) ? "band" : "window", spec.windows == 1 ? "" : "s", spec.sigma);
}

/// The map of all targets, and for a grid the one around a single target.
std::string maps_of_layer(const PlanSpec& spec, size_t layer, const RngKey& key, int draws) {
  const std::string title = layer_title(spec, layer);
  std::string html;
  const SourceMap map = estimate_source_map(spec, key, draws);
  if (map.draws > 0) html += render(map, title);
  if (!is_grid(spec)) return html;
  const TargetMap around = estimate_target_map(spec, key, draws);
  if (around.draws > 0)
    html += render(around, fmt::format("Layer {}: around one target", layer + 1));
  return html;
}

/// The first and the last layer that sample; only one of them if both draw alike.
std::string maps_of(const Run& run, const PlanGroup& group, int draws) {
  if (group.specs.empty()) return fmt::format("<p>{}</p>\n", escape(group.problem));
  std::string html;
  const size_t last = group.specs.size() - 1;
  const bool has_sigma = group.specs.front().kind != PlanKind::unbiased;
  const bool alike = !has_sigma || group.specs.front().sigma == group.specs.back().sigma;
  for (const size_t i : {size_t{0}, last}) {
    if (i != last && alike) continue;
    const size_t layer = group.first_layer + i;
    html += maps_of_layer(group.specs[i], layer,
                          key_of(run).with_layer(static_cast<int64_t>(layer)), draws);
    if (last == 0) break;
  }
  return html;
}

std::string names_of(const std::vector<Run>& runs, const PlanGroup& group) {
  std::string names;
  for (const size_t i : group.runs) names += run_chip(runs[i], i) + "\n";
  return names;
}

std::string maps_of_groups(const std::vector<Run>& runs, const std::vector<PlanGroup>& groups,
                           size_t begin, size_t end) {
  const auto share = kDraws * kPlansInFull / std::max(kPlansInFull, groups.size());
  std::string html;
  for (size_t i = begin; i < end; ++i) {
    const std::string maps =
        maps_of(runs[groups[i].runs.front()], groups[i], static_cast<int>(share));
    if (maps.empty()) continue;
    html += fmt::format("<p class=\"legend\">{}</p>\n<div class=\"charts\">\n{}</div>\n",
                        names_of(runs, groups[i]), maps);
  }
  return html;
}

/// Says after how many layers all but one in a thousand positions are reached.
std::string pathway_sentence(const Run& run, const std::vector<double>& reached) {
  std::string text =
      fmt::format("{} ({}): one layer connects a position with {:.3g}% of what it may see",
                  escape(run.scheme), escape(run.name), 100 * reached.front());
  const auto enough = [](double part) { return part > 0.999; };
  const auto found = std::find_if(reached.begin(), reached.end(), enough);
  if (found == reached.begin()) return text + ".";
  if (found == reached.end()) {
    return text + fmt::format(", all {} with {:.3g}%.", reached.size(), 100 * reached.back());
  }
  return text + fmt::format(", {} with practically all of it.", found - reached.begin() + 1);
}

}  // namespace

std::string plan_section(const std::vector<Run>& runs) {
  const std::vector<PlanGroup> groups = group_runs(runs);
  const size_t in_full = std::min(groups.size(), kPlansInFull);
  const size_t shown = std::min(groups.size(), kMostPlans);
  std::string body = maps_of_groups(runs, groups, 0, in_full);
  if (body.empty()) return {};
  const std::string more = maps_of_groups(runs, groups, in_full, shown);
  if (!more.empty()) {
    body +=
        fmt::format("<details><summary>{} more</summary>\n{}</details>\n", shown - in_full, more);
  }
  const bool grids = std::any_of(groups.begin(), groups.end(), [](const PlanGroup& group) {
    return !group.specs.empty() && is_grid(group.specs.front());
  });
  return section(
      "sources", "Sampled sources",
      fmt::format("<p class=\"about\">How likely a target attends to a source in one training "
                  "step, from up to {} drawn plans: in the first layer that samples and in the "
                  "last, or once where all sample alike. Dashed: the windows' own positions. "
                  "With small σ these have the full colour and what lies before them none; the "
                  "larger σ, the farther the colour spreads to the left, until all of the past is "
                  "equally likely.{}</p>\n",
                  kDraws, grids ? kGridWords : std::string_view()) +
          body);
}

std::string pathway_section(const std::vector<Run>& runs) {
  Plot plot{.title = "Sources that reach a target",
            .x_label = "layers passed (of those that sample)",
            .y_label = "% of the visible positions",
            .x_from_zero = false,
            .x_whole = true,
            .y_from_zero = true};
  std::string names, sentences;
  double most_layers = 1;
  for (const PlanGroup& group : group_runs(runs)) {
    const size_t index = group.runs.front();
    const Connectivity pathways = estimate_connectivity(
        group.specs, static_cast<int64_t>(group.first_layer), key_of(runs[index]), kPathwayDraws);
    if (pathways.draws == 0) continue;
    Series series{
        fmt::format("{} {}", runs[index].scheme, runs[index].name), index, LineStyle::marked, {}};
    for (size_t n = 0; n < pathways.reached.size(); ++n) {
      series.points.push_back({static_cast<double>(n + 1), 100 * pathways.reached[n]});
    }
    most_layers = std::max(most_layers, static_cast<double>(pathways.reached.size()));
    plot.series.push_back(std::move(series));
    names += names_of(runs, group);
    sentences += "<li>" + pathway_sentence(runs[index], pathways.reached) + "</li>\n";
  }
  if (plot.series.empty()) return {};
  plot.horizontal.push_back({100, kNoColor, "dense"});
  // A single layer is a dot in the middle of the axis.
  if (most_layers == 1) plot.x_from_zero = true;
  return section(
      "pathways", "Information pathways",
      fmt::format(
          "<p class=\"legend\">{}</p>\n<div class=\"charts wide\">\n{}<div><p "
          "class=\"about\">The part of the positions a target may see from which some path "
          "of sampled connections, or of residual ones, leads to it: mean over all targets "
          "and up to {} drawn stacks of plans. Dense attention (dashed) reaches all of them "
          "in one layer. Layers that do not sample are left out.</p>\n"
          "<ul class=\"about scroll-list\">\n{}</ul></div></div>\n",
          names, render(plot), kPathwayDraws, sentences));
}

}  // namespace ssa::report
