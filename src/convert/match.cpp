#include "convert/match.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

bool matches_any(const auto& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const auto& pattern) { return matches(pattern, name); });
}

/// The tensors of the file by the names that the other program gives them today.
class Names {
 public:
  Names(const SafetensorsFile& file, const Layout& layout) {
    std::set<std::string> all;
    for (const SafetensorsEntry& entry : file.entries()) all.insert(entry.name);
    for (const SafetensorsEntry& entry : file.entries()) {
      by_todays_name_[layout.todays_name(entry.name, all)] = &entry;
    }
  }
  const SafetensorsEntry* find(const std::string& todays_name) const {
    const auto found = by_todays_name_.find(todays_name);
    return found == by_todays_name_.end() ? nullptr : found->second;
  }

 private:
  std::map<std::string, const SafetensorsEntry*> by_todays_name_;
};

/// Tables of another window have another number of rows, and as many heads.
bool can_be_resized(const Layout& layout, const std::string& parameter, const Shape& stored,
                    const Shape& wanted) {
  return !layout.position_tables.empty() && matches(layout.position_tables, parameter) &&
         stored.rank() == 2 && stored[1] == wanted[1];
}

std::string dtype_text(const SafetensorsEntry& entry) {
  return entry.unreadable.empty() ? std::string(name(entry.dtype)) : entry.unreadable;
}

class Matcher {
 public:
  Matcher(const SafetensorsFile& file, const Layout& layout, const Config& config,
          const std::vector<std::string>& skip)
      : file_(file), layout_(layout), config_(config), skip_(skip), names_(file, layout) {}

  Matching run(const std::vector<Parameter>& parameters) {
    Matching matching;
    for (const Parameter& parameter : parameters) matching.sources.push_back(source_of(parameter));
    for (const SafetensorsEntry& entry : file_.entries()) {
      if (used_.contains(entry.name)) continue;
      if (is_expected(entry.name)) {
        matching.left_out.push_back(entry.name);
      } else {
        problems_.push_back(fmt::format("unknown: {} {}", entry.name, to_string(entry.shape)));
      }
    }
    check_patterns(parameters);
    report();
    return matching;
  }

 private:
  ParameterSource source_of(const Parameter& parameter) {
    ParameterSource source{parameter, {}};
    const bool skipped = matches_any(skip_, parameter.name);
    for (const Placement& place : layout_.places(parameter.name, parameter.shape, config_)) {
      const SafetensorsEntry* const entry = names_.find(place.tensor);
      if (!entry) {
        const bool is_copy = !source.stored.empty();
        if (!skipped && !is_copy) missing_[place.tensor].push_back(parameter.name);
        continue;
      }
      used_.insert(entry->name);
      if (skipped) continue;
      ++found_;
      check_entry(*entry, place, parameter);
      source.stored.push_back({entry->name, place});
    }
    return source;
  }

  void check_entry(const SafetensorsEntry& entry, const Placement& place,
                   const Parameter& parameter) {
    std::string wrong;
    if (!entry.unreadable.empty() || !is_floating(entry.dtype)) {
      wrong = fmt::format("{} has dtype {}; weights are F32, BF16, F16 or F64", entry.name,
                          dtype_text(entry));
    } else if (!(entry.shape == place.shape) &&
               !can_be_resized(layout_, parameter.name, entry.shape, place.shape)) {
      wrong = fmt::format("{} is {} in the file; for {} it should be {}", entry.name,
                          to_string(entry.shape), parameter.name, to_string(place.shape));
    }
    if (wrong.empty() || !reported_.insert(entry.name).second) return;
    problems_.push_back(wrong);
  }

  /// Whether it is no mistake that a tensor is not read.
  bool is_expected(const std::string& name) const {
    return matches_any(layout_.not_weights, name) || matches_any(skip_, name);
  }

  void check_patterns(const std::vector<Parameter>& parameters) const {
    for (const std::string& pattern : skip_) {
      const auto fits = [&](const auto& one) { return matches(pattern, one.name); };
      if (std::any_of(parameters.begin(), parameters.end(), fits)) continue;
      if (std::any_of(file_.entries().begin(), file_.entries().end(), fits)) continue;
      throw ConfigError(
          "--skip {}: neither a parameter nor a tensor of {} has such a name. Parameters are {}, "
          "{}, …, {}",
          pattern, file_.path(), parameters.front().name, parameters[1].name,
          parameters.back().name);
    }
  }

  void report() const {
    if (found_ == 0 && missing_.empty() && !skip_.empty()) {
      throw ConfigError("--skip leaves out every tensor of {}: nothing would be imported",
                        file_.path());
    }
    if (found_ == 0) refuse_other_layout();
    if (missing_.empty() && problems_.empty()) return;
    std::string text;
    for (const auto& [tensor, parameters] : missing_) {
      text += fmt::format("\n  missing: {}, for {}", tensor, fmt::join(parameters, ", "));
    }
    for (const std::string& problem : problems_) text += "\n  " + problem;
    throw CheckpointError(
        "{} does not fit the model of the config (layout {}):{}\nIf the config is right, --skip "
        "PATTERN leaves random values in parameters, or leaves out tensors of the file: --skip "
        "'head.*' for a head of another number of classes",
        file_.path(), layout_.name, text);
  }

  /// Naming hundreds of tensors would not help.
  [[noreturn]] void refuse_other_layout() const {
    std::vector<std::string> first = file_.names();
    const size_t all = first.size();
    first.resize(std::min<size_t>(3, all));
    throw CheckpointError(
        "{} has no tensor with a name of the layout {}, such as {}. Its {} tensors are {}{}. "
        "Layouts: ssa-convert list",
        file_.path(), layout_.name, missing_.empty() ? "…" : missing_.begin()->first, all,
        fmt::join(first, ", "), all > first.size() ? ", …" : "");
  }

  const SafetensorsFile& file_;
  const Layout& layout_;
  const Config& config_;
  const std::vector<std::string>& skip_;
  Names names_;
  std::set<std::string> used_, reported_;
  std::map<std::string, std::vector<std::string>> missing_;  // tensor -> parameters
  std::vector<std::string> problems_;
  int64_t found_ = 0;
};

}  // namespace

Matching match(const SafetensorsFile& file, const Layout& layout,
               const std::vector<Parameter>& parameters, const Config& config,
               const std::vector<std::string>& skip) {
  return Matcher(file, layout, config, skip).run(parameters);
}

}  // namespace ssa
