#include "ssa/report/report.h"

#include <fmt/format.h>

#include "ssa/config/differences.h"
#include "ssa/core/error.h"
#include "ssa/core/version.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/report/published.h"
#include "ssa/storage/file_io.h"

#include "report/html.h"
#include "report/sections.h"
#include "report/style.h"

namespace ssa {

namespace {

/// The number of layers that sample.
int64_t sampled_layers(const Config& config) {
  if (config.ssa.layers > 0) return config.ssa.layers;
  if (value_of_key(config, "model.layers")) return config.model.layers;
  try {
    const auto task = make_task(config);
    const auto sampled = task->plan_specs(Sources::sampled, Use::training);
    const auto dense = task->plan_specs(Sources::all, Use::training);
    int64_t layers = 0;
    for (size_t i = 0; i < sampled.size(); ++i) {
      layers += sampled_fraction(sampled[i]) < sampled_fraction(dense.at(i)) ? 1 : 0;
    }
    return layers;
  } catch (const ConfigError&) {  // there are no plans, which the page says elsewhere
    return 0;
  }
}

}  // namespace

std::string scheme_name(const Config& config) {
  const SsaConfig& ssa = config.ssa;
  const auto window = value_of_key(config, "model.swin.window");
  const std::string prefix = window ? fmt::format("W{}-", *window) : std::string();
  if (ssa.kind == SsaKind::none) return prefix + "S0";
  std::string text = fmt::format("{}S{}-", prefix, sampled_layers(config));
  text += ssa.kind == SsaKind::local ? fmt::format("L{}", ssa.windows)
                                     : fmt::format("U{:.4g}", 100 * ssa.drop);
  if (finetune_start(config) < config.train.steps) text += "+FT";
  return text;
}

std::string render_report(const std::vector<std::string>& run_dirs, const std::string& published) {
  using namespace report;
  const std::vector<Run> runs = load_runs(run_dirs);
  std::string title = runs.front().name;
  if (runs.size() > 1) title += fmt::format(" and {} more", runs.size() - 1);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n",
      escape(title), style_sheet());
  page += header_section(runs);
  page += "<main>\n";
  const PublishedResults results =
      published.empty() ? PublishedResults() : PublishedResults::load(published);
  page += summary_section(runs) + paper_section(runs, results) + other_scores_section(runs);
  for (const auto& part :
       {loss_section, picture_section, speed_section, ensemble_section, analysis_section,
        plan_section, pathway_section, config_section, sample_section, commands_section}) {
    page += part(runs);
  }
  page += "</main>\n";
  page += fmt::format("<footer><p>Made by ssa-report {} (commit {}).</p></footer>\n", version(),
                      escape(git_commit()));
  return page + "</body>\n</html>\n";
}

void write_report(const std::vector<std::string>& run_dirs, const std::string& output,
                  const std::string& published) {
  const std::string page = render_report(run_dirs, published);
  try {
    write_file_atomically(output, page);
  } catch (const CheckpointError& error) {
    throw CheckpointError("{}: the report cannot be written: {}. Give another file with --output.",
                          output, error.what());
  }
}

}  // namespace ssa
