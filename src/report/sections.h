#pragma once

#include <string>
#include <vector>

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
/// Which positions the windows sample, per layer.
std::string plan_section(const std::vector<Run>& runs);
/// What the configs differ in, and each in full.
std::string config_section(const std::vector<Run>& runs);
/// Generated text.
std::string sample_section(const std::vector<Run>& runs);
/// How to make the runs and this page again.
std::string commands_section(const std::vector<Run>& runs);

/// A section of the page with its heading; `body` is HTML.
std::string section(const std::string& id, const std::string& title, const std::string& body);
/// The name of a run beside a chip of its colour.
std::string run_chip(const Run& run, size_t index);
/// The chips of all runs, and the line styles of a training and a validation curve if asked for.
std::string legend(const std::vector<Run>& runs, bool line_styles);

}  // namespace ssa::report
