#pragma once

#include <string>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// The paper's short name of a run's attention (Hussain et al., arXiv 2306.01705, section 5):
/// "S0" is dense, "S6-L4" local with 4 windows in the last 6 layers, "S6-U20" unbiased with 20% of
/// the sources dropped. "+FT" after it means that the run ends with dense attention. Models whose
/// attention has windows of its own have their side in front: "W14-S10-L4".
std::string scheme_name(const Config& config);

/// The same for readers who do not know the names: "the last six of 16 layers, four local windows,
/// σ 0.02 to 0.1".
std::string scheme_in_words(const Config& config);

/// A self-contained HTML page (inline CSS, SVG and PNG, no scripts, no requests) about run folders.
/// A sweep folder stands for the runs in it. First the page says what was run and how well it did;
/// then come the scores against swept values, curves, pictures drawn in training, ensembles, the
/// analysis of predictions and published results; then details.
///
/// A run folder needs a config.yaml; the page lists what else is missing or unreadable, and leaves
/// out runs among others that have neither metrics nor scores. `published` is the file of
/// PublishedResults to compare with; empty: none. Throws ConfigError naming a folder that is not a
/// run folder, or a config or published table that cannot be read.
std::string render_report(const std::vector<std::string>& run_dirs,
                          const std::string& published = {});

/// Writes the page to a file of a run folder, atomically. Throws like render_report(), and
/// CheckpointError if the file cannot be written.
void write_report(const std::vector<std::string>& run_dirs, const std::string& output,
                  const std::string& published = {});

}  // namespace ssa
