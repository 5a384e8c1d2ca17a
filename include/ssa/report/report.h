#pragma once

#include <string>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// The paper's short name of a run's attention (Hussain et al., arXiv 2306.01705, section 5):
/// "S0" is dense, "S6-L4" local with 4 windows in the last 6 layers, "S6-U20" unbiased with 20% of
/// the sources dropped, and "+FT" behind it says that the run ends with dense attention.
std::string scheme_name(const Config& config);

/// One self-contained HTML page (inline CSS and SVG, no scripts, nothing fetched) about one or more
/// run folders, or sweep folders, which stand for the runs in them: summary table, published
/// results, loss curves, throughput and memory, ensemble curve, which sources are sampled and how
/// far information gets through the layers, differences between the configs, generated text. Only
/// config.yaml must be there; the page says what else is missing or unreadable. `published` is the
/// file of PublishedResults to compare with; empty: none. Throws ConfigError for a folder that is
/// no run folder, for a config and for a published table that cannot be read, naming it.
std::string render_report(const std::vector<std::string>& run_dirs,
                          const std::string& published = {});

/// Writes the page to a file, atomically. Throws as render_report() does, and ConfigError if the
/// file cannot be written.
void write_report(const std::vector<std::string>& run_dirs, const std::string& output,
                  const std::string& published = {});

}  // namespace ssa
