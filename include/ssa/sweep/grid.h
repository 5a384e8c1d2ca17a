#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A config key and its values, in YAML as for `--set`.
struct Variation {
  std::string key;
  std::vector<std::string> values;
};

/// Reads "key=v1,v2,…". Commas inside brackets, braces and quotes belong to a value:
/// "ssa.sigma={first: 0, last: 0.1},0.25" has two. Throws ConfigError saying what is wrong.
Variation parse_variation(const std::string& text);

/// One run of a sweep.
struct SweepPoint {
  std::string name;  ///< of its run folder: the varied values, in characters fit for file names
  std::vector<std::pair<std::string, std::string>> varied;  ///< key and value, as given
  std::vector<std::string> overrides;  ///< "key=value"; those common to all points come first
  Config config;
};

struct SweepGrid {
  std::vector<SweepPoint> points;
  std::vector<std::string> notes;  ///< for the log: which points were left out
};

/// All combinations of values; the last variation changes fastest. A point that would repeat the
/// run of an earlier point is left out: a dense model trains the same for any ssa.windows. Throws
/// one ConfigError with the problems of all points.
SweepGrid make_grid(const std::string& config_path, const std::vector<std::string>& set,
                    const std::vector<Variation>& variations);

}  // namespace ssa
