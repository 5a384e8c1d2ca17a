#pragma once

#include <string>
#include <vector>

#include "ssa/report/published.h"

#include "report/run_data.h"

namespace ssa::report {

// The parts of the page, in its order. Each gives HTML, or nothing if the runs have nothing for it.

/// Title, one line a run with its colour, what is missing.
std::string header_section(const std::vector<Run>& runs);
/// Final scores and costs, one column (or, with many runs, row) a run.
std::string summary_section(const std::vector<Run>& runs);
/// Loss against step, time and compute.
std::string loss_section(const std::vector<Run>& runs);
/// Throughput and memory over the steps.
std::string speed_section(const std::vector<Run>& runs);
/// Score of the ensemble against its number of samples.
std::string ensemble_section(const std::vector<Run>& runs);
/// How likely targets attend to sources, in the first and the last layer that sample.
std::string plan_section(const std::vector<Run>& runs);
/// How far information gets through the layers that sample.
std::string pathway_section(const std::vector<Run>& runs);
/// Scores and costs beside published ones of the same data set and scheme.
std::string paper_section(const std::vector<Run>& runs, const PublishedResults& published);
/// What the configs differ in, and each in full.
std::string config_section(const std::vector<Run>& runs);
/// Generated text.
std::string sample_section(const std::vector<Run>& runs);
/// How to make the runs and this page again.
std::string commands_section(const std::vector<Run>& runs);

/// With more runs a table has a row a run, and what is said of each is folded away.
inline constexpr size_t kMostColumns = 4;

/// A section of the page with its heading; `body` is HTML.
std::string section(const std::string& id, const std::string& title, const std::string& body);
/// The name of a run beside a chip of its colour.
std::string run_chip(const Run& run, size_t index);
/// The chips of all runs, and the line styles of a training and a validation curve if asked for.
std::string legend(const std::vector<Run>& runs, bool line_styles);

}  // namespace ssa::report
