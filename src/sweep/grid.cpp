#include "ssa/sweep/grid.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "ssa/config/idle_keys.h"
#include "ssa/core/error.h"
#include "ssa/storage/checksum.h"
#include "ssa/tasks/load.h"

namespace ssa {

namespace {

constexpr size_t kMaxPoints = 10000;
constexpr size_t kMaxNameLength = 120;  // file systems allow 255 bytes

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kBlank) - begin + 1));
}

/// Splits at the commas that are outside of brackets, braces and quotes.
std::vector<std::string> split_values(const std::string& text, const std::string& option) {
  std::vector<std::string> values;
  std::string open;  // the closing characters of open brackets
  char quote = '\0';
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      if (c == '\\' && quote == '"') {
        ++i;
      } else if (c == quote) {
        quote = '\0';
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '[' || c == '{') {
      open.push_back(c == '[' ? ']' : '}');
    } else if (c == ']' || c == '}') {
      if (open.empty() || open.back() != c) throw ConfigError("{}: '{}' closes nothing", option, c);
      open.pop_back();
    } else if (c == ',' && open.empty()) {
      values.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (quote != '\0') throw ConfigError("{}: a quote ({}) is not closed", option, quote);
  if (!open.empty()) throw ConfigError("{}: a '{}' is missing at the end", option, open.back());
  values.push_back(trimmed(std::string_view(text).substr(begin)));
  return values;
}

/// A key without its section: "ssa.sigma.last" -> "sigma.last".
std::string short_key(const std::string& key) {
  const size_t dot = key.find('.');
  return dot == std::string::npos ? key : key.substr(dot + 1);
}

/// Letters, digits, dots, plus and minus; everything else becomes one '-'.
std::string file_safe(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const bool keep =
        std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '+' || c == '-' || c == '_';
    if (keep) {
      safe.push_back(c);
    } else if (!safe.empty() && safe.back() != '-') {
      safe.push_back('-');
    }
  }
  while (!safe.empty() && safe.back() == '-') safe.pop_back();
  return safe;
}

/// Identifies a run: the config as text, with keys that do not affect it at their defaults.
std::string run_identity(Config config) {
  const SsaConfig defaults;
  SsaConfig& ssa = config.ssa;
  if (ssa.kind == SsaKind::none) ssa = defaults;
  if (ssa.kind != SsaKind::local) {
    ssa.windows = defaults.windows;
    ssa.sigma = defaults.sigma;
  }
  if (ssa.kind != SsaKind::unbiased) ssa.drop = defaults.drop;
  return dump_config(config);
}

std::string hash_of(const SweepPoint& point) {
  Checksum checksum;
  for (const auto& [key, value] : point.varied) {
    const std::string text = key + "=" + value + "\n";
    checksum.update(text.data(), text.size());
  }
  return checksum.hex().substr(0, 8);
}

/// Of a point to which nothing that varies does anything: its run needs a folder of its own too.
constexpr const char* kNoEffectName = "the-config";

void name_points(std::vector<SweepPoint>& points, const std::vector<Variation>& variations) {
  std::map<std::string, int> uses;  // of short keys
  for (const Variation& variation : variations) ++uses[short_key(variation.key)];
  std::map<std::string, int> names;
  for (SweepPoint& point : points) {
    for (const auto& [key, value] : point.varied) {
      if (!has_effect(point.config, key)) continue;
      const std::string shown = uses[short_key(key)] > 1 ? key : short_key(key);
      point.name += fmt::format("{}{}-{}", point.name.empty() ? "" : "_", shown, file_safe(value));
    }
    if (point.name.empty()) point.name = kNoEffectName;
    if (point.name.size() > kMaxNameLength) {
      point.name = point.name.substr(0, kMaxNameLength) + "_" + hash_of(point);
    }
    ++names[point.name];
  }
  for (SweepPoint& point : points) {  // values may differ only in characters that names lack
    if (names[point.name] > 1) point.name += "_" + hash_of(point);
  }
}

/// Replaces "--set key" in a config's message by the "--vary key" that the user wrote.
std::string with_vary(std::string message, const std::vector<Variation>& variations) {
  for (const Variation& variation : variations) {
    const std::string from = "--set " + variation.key, to = "--vary " + variation.key;
    for (size_t at = 0; (at = message.find(from, at)) != std::string::npos; at += to.size()) {
      message.replace(at, from.size(), to);
    }
  }
  return message;
}

std::string label(const SweepPoint& point) {
  std::string text;
  for (const auto& [key, value] : point.varied) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  }
  return text.empty() ? "the config" : text;
}

/// The problems of points. A problem that many points have is reported once.
class PointProblems {
 public:
  /// `message` has one problem per line.
  void add(const SweepPoint& point, const std::string& message) {
    std::istringstream lines(message);
    for (std::string line; std::getline(lines, line);) {
      const auto [place, is_new] = points_.try_emplace(line);
      if (is_new) order_.push_back(line);
      place->second.push_back(label(point));
    }
    ++bad_points_;
  }
  void throw_if_any(size_t all) const {
    if (order_.empty()) return;
    std::string text = all == 1
                           ? "nothing was started: the config is not valid"
                           : fmt::format("nothing was started: {} of {} points {} no valid config",
                                         bad_points_, all, bad_points_ == 1 ? "has" : "have");
    for (const std::string& line : order_) {
      text += fmt::format("\n{}:\n  {}", which(points_.at(line), all), line);
    }
    throw ConfigError("{}", text);
  }

 private:
  static std::string which(const std::vector<std::string>& labels, size_t all) {
    constexpr size_t kShown = 3;
    if (labels.size() == all && all > 1) return "every point";
    if (labels.size() <= kShown) return fmt::format("{}", fmt::join(labels, "; "));
    return fmt::format("{} and {} more", labels.front(), labels.size() - 1);
  }

  std::map<std::string, std::vector<std::string>> points_;  // by problem
  std::vector<std::string> order_;
  size_t bad_points_ = 0;
};

/// All combinations, without configs and names yet.
std::vector<SweepPoint> combinations(const std::vector<std::string>& set,
                                     const std::vector<Variation>& variations) {
  SweepPoint base;
  base.overrides = set;
  std::vector<SweepPoint> points = {base};
  for (const Variation& variation : variations) {
    if (points.size() * variation.values.size() > kMaxPoints) {
      throw ConfigError("the grid has more than {} points", kMaxPoints);
    }
    std::vector<SweepPoint> longer;
    for (const SweepPoint& point : points) {
      for (const std::string& value : variation.values) {
        longer.push_back(point);
        longer.back().varied.emplace_back(variation.key, value);
        longer.back().overrides.push_back(variation.key + "=" + value);
      }
    }
    points = std::move(longer);
  }
  return points;
}

/// One line about all points that repeat the run of `kept`.
std::string same_run_note(const std::vector<std::string>& left_out, const SweepPoint& kept) {
  if (left_out.size() == 1) {
    return fmt::format("left out: {} is the same run as {}", left_out.front(), label(kept));
  }
  return fmt::format("left out: {} points that are the same run as {}, such as {}", left_out.size(),
                     label(kept), left_out.front());
}

void check_keys(const std::vector<Variation>& variations) {
  std::set<std::string> keys;
  for (const Variation& variation : variations) {
    if (!keys.insert(variation.key).second) {
      throw ConfigError("--vary {} is given twice; give all its values in one", variation.key);
    }
  }
}

}  // namespace

Variation parse_variation(const std::string& text) {
  const size_t equals = text.find('=');
  Variation variation;
  variation.key = trimmed(std::string_view(text).substr(0, equals));
  const std::string option = "--vary " + variation.key;
  if (equals == std::string::npos || variation.key.empty()) {
    throw ConfigError("--vary {}: expected key=v1,v2,… as in ssa.windows=2,4,8", text);
  }
  variation.values = split_values(text.substr(equals + 1), option);
  if (std::find(variation.values.begin(), variation.values.end(), "") != variation.values.end()) {
    throw ConfigError("{}: a value is empty; expected key=v1,v2,…", option);
  }
  return variation;
}

SweepGrid make_grid(const std::string& config_path, const std::vector<std::string>& set,
                    const std::vector<Variation>& variations) {
  check_keys(variations);
  std::vector<SweepPoint> all = combinations(set, variations);
  PointProblems problems;
  for (SweepPoint& point : all) {
    try {
      point.config = counted_in_steps(load_task_config(config_path, point.overrides));
    } catch (const ConfigError& error) {
      problems.add(point, with_vary(error.what(), variations));
    }
  }
  problems.throw_if_any(all.size());

  SweepGrid grid;
  std::map<std::string, size_t> kept;              // the number of each run's point, by identity
  std::vector<std::vector<std::string>> left_out;  // labels, by number of the point that is kept
  for (SweepPoint& point : all) {
    const auto [place, is_new] = kept.try_emplace(run_identity(point.config), grid.points.size());
    if (is_new) {
      grid.points.push_back(std::move(point));
      left_out.emplace_back();
    } else {
      left_out[place->second].push_back(label(point));
    }
  }
  for (size_t i = 0; i < grid.points.size(); ++i) {
    if (!left_out[i].empty()) grid.notes.push_back(same_run_note(left_out[i], grid.points[i]));
  }
  name_points(grid.points, variations);
  if (!variations.empty() && grid.points.size() == 1 && grid.points[0].name == kNoEffectName) {
    grid.notes.push_back(fmt::format(
        "what varies does nothing to this config{}: there is one point",
        grid.points[0].config.ssa.kind == SsaKind::none ? " (ssa.kind is none: dense)" : ""));
  }
  return grid;
}

}  // namespace ssa
