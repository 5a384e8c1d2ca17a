#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ssa/report/published.h"
#include "ssa/report/run_data.h"

namespace ssa::report {

// The sections of the page, in its order, as HTML. A section is empty if the runs have no data for
// it.

/// Title, what was run, how well it did and on what machine, and a list of what is missing.
/// `left_out` are names of runs that the page does not show.
std::string header_section(const std::vector<Run>& runs, const std::vector<std::string>& left_out);
/// The sections of a page, as links to their headings. Empty if there are few.
std::string contents_of(const std::string& page);
/// The score against each value that differs between the runs, seeds put together.
std::string sweep_section(const std::vector<Run>& runs);
/// Final scores and costs, with one column (or, with many runs, row) per run.
std::string summary_section(const std::vector<Run>& runs);
/// Scores that are not the runs' own: of other data, a part of a split, another config.
std::string other_scores_section(const std::vector<Run>& runs);
/// What train.samples has shown: texts or pictures that the models drew, or pictures that they
/// learned from.
std::string picture_section(const std::vector<Run>& runs);
/// Loss against step, time and compute, and the metric.
std::string loss_section(const std::vector<Run>& runs);
/// Throughput and memory over the steps.
std::string speed_section(const std::vector<Run>& runs);
/// Score of the ensemble against its number of samples.
std::string ensemble_section(const std::vector<Run>& runs);
/// What ssa-eval found out about predictions: calibration, accuracy of classes, uncertainty.
std::string analysis_section(const std::vector<Run>& runs);
/// How likely targets attend to sources, in the first and the last layer that sample.
std::string plan_section(const std::vector<Run>& runs);
/// How far information travels through the layers that sample.
std::string pathway_section(const std::vector<Run>& runs);
/// Scores and costs beside the published ones of the same data set and scheme.
std::string paper_section(const std::vector<Run>& runs, const PublishedResults& published);
/// The differences between the configs, and each config in full.
std::string config_section(const std::vector<Run>& runs);
/// Generated text.
std::string sample_section(const std::vector<Run>& runs);
/// The commands that make the runs and this page.
std::string commands_section(const std::vector<Run>& runs);

/// With more runs than this, tables have one row per run, and details of each run are folded.
inline constexpr size_t kMostColumns = 4;

/// A section of the page with its heading; `body` is HTML.
std::string section(const std::string& id, const std::string& title, const std::string& body);
/// A piece of line in the colour of a style, with its marker.
std::string line_sample(size_t style);
/// The name of a run with its colour and marker.
std::string run_chip(const Run& run);
/// The same for runs of one style: indices.
std::string group_chip(const std::vector<Run>& runs, const std::vector<size_t>& group);
/// The chips of all runs, and optionally the line styles of training and validation curves. Runs of
/// one style stand together.
std::string legend(const std::vector<Run>& runs, bool line_styles);
/// A list with the class `style`, whose items are HTML. What is beyond the first two dozen is
/// folded.
std::string bullet_list(const std::vector<std::string>& items, std::string_view style);

}  // namespace ssa::report
