#include <algorithm>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/report/numbers.h"
#include "ssa/tasks/task.h"

#include "report/connectivity.h"
#include "report/html.h"
#include "report/plan_maps.h"
#include "report/sections.h"
#include "report/source_map.h"
#include "report/svg_plot.h"

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

constexpr std::string_view kSwinWords =
    " Of a Swin transformer the map is that of the layer's stage, around one target (solid frame) "
    "of one window, and the first layer shown is the first with shifted windows. A target never "
    "sees other windows. Dashed is what it would see without noise: its sub-window, or its whole "
    "window where each window samples its own cells without bias.";

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
         a.config.model.swin == b.config.model.swin && a.terms_per_example == b.terms_per_example;
}

/// Drops the dense layers below and above those that sample.
void keep_sampled_layers(PlanGroup& group) {
  std::vector<PlanSpec>& specs = group.specs;
  const auto first = std::find_if(specs.begin(), specs.end(), samples_sources);
  const auto last = std::find_if(specs.rbegin(), specs.rend(), samples_sources).base();
  group.first_layer = static_cast<size_t>(first - specs.begin());
  specs = first < last ? std::vector<PlanSpec>(first, last) : std::vector<PlanSpec>();
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
      keep_sampled_layers(group);
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

std::string maps_of(const Run& run, const PlanGroup& group, int draws) {
  if (group.specs.empty()) return fmt::format("<p>{}</p>\n", escape(group.problem));
  return plan_maps(group.specs, group.first_layer, key_of(run), draws);
}

std::string names_of(const std::vector<Run>& runs, const PlanGroup& group) {
  std::string names;
  for (const size_t i : group.runs) names += run_chip(runs[i]) + "\n";
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
  const auto any = [&](auto of_kind) {
    return std::any_of(groups.begin(), groups.end(), [&](const PlanGroup& group) {
      return !group.specs.empty() && of_kind(group.specs.front());
    });
  };
  return section(
      "sources", "Sampled sources",
      fmt::format("<p class=\"about\">How likely a target attends to a source in one training "
                  "step, from up to {} drawn plans: in the first layer that samples and in the "
                  "last, or once where all sample alike. Dashed: the windows' own positions. "
                  "With small σ these have the full colour and what lies before them none; the "
                  "larger σ, the farther the colour spreads to the left, until all of the past is "
                  "equally likely.{}{}</p>\n",
                  kDraws, any(is_grid) ? kGridWords : std::string_view(),
                  any(has_swin_windows) ? kSwinWords : std::string_view()) +
          body);
}

std::string pathway_section(const std::vector<Run>& runs) {
  Plot plot{.title = "Sources that reach a target",
            .x_label = "layers passed (of those that sample)",
            .y_label = "% of the visible positions",
            .x_from_zero = false,
            .x_whole = true,
            .y_from_zero = true};
  std::string names;
  std::vector<std::string> sentences;
  double most_layers = 1;
  for (const PlanGroup& group : group_runs(runs)) {
    const size_t index = group.runs.front();
    const Connectivity pathways = estimate_connectivity(
        group.specs, static_cast<int64_t>(group.first_layer), key_of(runs[index]), kPathwayDraws);
    if (pathways.draws == 0) continue;
    Series series{fmt::format("{} {}", runs[index].scheme, runs[index].name),
                  runs[index].style,
                  LineStyle::marked,
                  {}};
    for (size_t n = 0; n < pathways.reached.size(); ++n) {
      series.points.push_back({static_cast<double>(n + 1), 100 * pathways.reached[n]});
    }
    most_layers = std::max(most_layers, static_cast<double>(pathways.reached.size()));
    plot.series.push_back(std::move(series));
    names += names_of(runs, group);
    sentences.push_back(pathway_sentence(runs[index], pathways.reached));
  }
  if (plot.series.empty()) return {};
  plot.horizontal.push_back({100, kNoStyle, "dense"});
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
          "{}</div></div>\n",
          names, render(plot), kPathwayDraws, bullet_list(sentences, "about")));
}

}  // namespace ssa::report
