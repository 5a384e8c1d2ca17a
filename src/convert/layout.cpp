#include "ssa/convert/layout.h"

#include <charconv>
#include <numeric>

#include <fmt/ranges.h>
#include <fnmatch.h>

#include "ssa/core/error.h"

#include "convert/names.h"

namespace ssa {

std::string renamed(std::string name, const Renames& table) {
  for (const auto& [ours, theirs] : table) {
    const size_t at = name.find(ours);
    if (at != std::string::npos) name.replace(at, ours.size(), theirs);
  }
  return name;
}

int64_t number_after(const std::string& name, std::string_view before) {
  const size_t at = name.find(before);
  int64_t number = -1;
  if (at != std::string::npos) {
    std::from_chars(name.data() + at + before.size(), name.data() + name.size(), number);
  }
  SSA_CHECK(number >= 0, "'{}' has no number after '{}'", name, before);
  return number;
}

std::vector<int64_t> rows_from(int64_t first, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

namespace {

std::vector<Constant> no_constants(const Config& /*config*/) { return {}; }

std::string same_name(const std::string& name, const std::set<std::string>& /*all*/) {
  return name;
}

/// This engine's own names. The config travels in the metadata of the file.
Layout ssa_layout() {
  return {.name = "ssa",
          .about = "this engine's names, with the config inside: ssa-eval --checkpoint FILE",
          .places =
              [](const std::string& name, const Shape& shape, const Config& /*config*/) {
                return std::vector<Placement>{{name, shape}};
              },
          .todays_name = same_name,
          .constants = no_constants};
}

std::vector<Layout> all_layouts() {
  std::vector<Layout> all = {ssa_layout(), timm_swin_layout(), egt_pytorch_layout(),
                             fairseq_lm_layout()};
  for (Layout& layout : all) {
    if (!layout.todays_name) layout.todays_name = same_name;
    if (!layout.constants) layout.constants = no_constants;
  }
  return all;
}

}  // namespace

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = all_layouts();
  return all;
}

const Layout& layout_for(std::string_view name, TaskKind task) {
  std::vector<std::string_view> names;
  for (const Layout& layout : layouts()) {
    names.push_back(layout.name);
    if (layout.name != name) continue;
    if (layout.tasks.has(task)) return layout;
    throw ConfigError("--layout {} is for the task {}; the config's is {}", name,
                      layout.tasks.names(), ssa::name(task));
  }
  throw ConfigError("--layout {}: there are {}", name, fmt::join(names, ", "));
}

bool matches(std::string_view pattern, const std::string& name) {
  return ::fnmatch(std::string(pattern).c_str(), name.c_str(), 0) == 0;
}

}  // namespace ssa
