#include "ssa/report/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/version.h"
#include "ssa/report/published.h"
#include "ssa/storage/file_io.h"

#include "report/html.h"
#include "report/sections.h"
#include "report/style.h"

namespace ssa {

namespace {

using namespace report;

/// Takes out the runs that have nothing to show, if there are others. Returns their names.
std::vector<std::string> leave_out_empty(std::vector<Run>& runs) {
  const auto is_empty = [](const Run& run) {
    return run.events.empty() && run.evaluations.empty();
  };
  std::vector<std::string> names;
  if (std::ranges::all_of(runs, is_empty)) return names;
  for (const Run& run : runs) {
    if (is_empty(run)) names.push_back(run.name);
  }
  std::erase_if(runs, is_empty);
  return names;
}

/// What readers want first is at the top: scores and curves, then details.
std::string sections_of(const std::vector<Run>& runs, const PublishedResults& published) {
  std::string page;
  for (const auto& part :
       {sweep_section, loss_section, picture_section, ensemble_section, analysis_section}) {
    page += part(runs);
  }
  page += paper_section(runs, published);
  for (const auto& part : {summary_section, other_scores_section, speed_section, plan_section,
                           pathway_section, config_section, sample_section, commands_section}) {
    page += part(runs);
  }
  return page;
}

}  // namespace

std::string render_report(const std::vector<std::string>& run_dirs, const std::string& published) {
  std::vector<Run> runs = load_runs(run_dirs);
  const std::vector<std::string> left_out = leave_out_empty(runs);
  std::string title = runs.front().name;
  if (runs.size() > 1) title += fmt::format(" and {} more", runs.size() - 1);
  const PublishedResults results =
      published.empty() ? PublishedResults() : PublishedResults::load(published);
  const std::string sections = sections_of(runs, results);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n",
      escape(title), style_sheet());
  page += header_section(runs, left_out) + contents_of(sections);
  page += "<main>\n" + sections + "</main>\n";
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
