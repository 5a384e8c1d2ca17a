#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A config key and the values it takes, each YAML as `--set` reads it.
struct Variation {
  std::string key;
  std::vector<std::string> values;
};

/// Reads "key=v1,v2,…". Commas inside brackets, braces and quotes belong to a value:
/// "ssa.sigma={first: 0, last: 0.1},0.25" has two. Throws ConfigError saying what is wrong.
Variation parse_variation(const std::string& text);

/// One run of a sweep.
struct SweepPoint {
  std::string name;  ///< of its run folder: what varies, in letters that file systems like
  std::vector<std::pair<std::string, std::string>> varied;  ///< key and value, as given
  std::vector<std::string> overrides;  ///< "key=value", those common to all points first
  Config config;
};

/// Whether a key changes a run with this kind of sampling: ssa.windows does nothing to a dense one.
bool key_matters(const std::string& key, const SsaConfig& ssa);

struct SweepGrid {
  std::vector<SweepPoint> points;
  std::vector<std::string> notes;  ///< about points left out, for the log
};

/// Every combination of values, the last variation changing fastest. A point whose run would be
/// that of an earlier one is left out: a dense model trains the same whatever ssa.windows says.
/// Throws one ConfigError with the problems of all points.
SweepGrid make_grid(const std::string& config_path, const std::vector<std::string>& set,
                    const std::vector<Variation>& variations);

}  // namespace ssa
