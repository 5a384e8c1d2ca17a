#include "ssa/config/differences.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "config/format_value.h"

namespace ssa {

namespace {

using namespace std::string_view_literals;

/// Keys of `model` that change how it is trained or computed, but not what it computes. A new key
/// of `model` counts as part of the function until it is listed here.
constexpr std::array kSameFunction = {"model.attention"sv, "model.dropout"sv,
                                      "model.attention_dropout"sv, "model.activation_dropout"sv,
                                      "model.softmax_dropout"sv};
/// Keys of other sections on which the function depends.
constexpr std::array kFunction = {"task"sv, "data.vocabulary"sv, "data.image_size"sv,
                                  "data.augment"sv};

/// What is_bookkeeping() names beside the sections that it tells by their names. How often the
/// valid split is scored is among them, though with train.patience it also decides when a run may
/// stop.
constexpr std::array kBookkeeping = {
    "train.micro_batch"sv,    "train.cuda_graphs"sv,      "train.eval_every"sv,
    "train.evaluate_first"sv, "train.samples"sv,          "train.sample_length"sv,
    "train.sample_prompt"sv,  "train.checkpoint_every"sv, "train.max_hours"sv,
    "data.workers"sv,         "eval.batch_size"sv};

template <size_t size>
bool contains(const std::array<std::string_view, size>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Sets a member to what the same member of another config is.
struct CopyValue {
  const FieldRef& from;

  void operator()(std::monostate) const {}  // a section
  void operator()(const ChoiceRef& to) const {
    to.set(to.target, std::get<ChoiceRef>(from).get(std::get<ChoiceRef>(from).target));
  }
  void operator()(const ChoicesRef& to) const {
    to.set(to.target, std::get<ChoicesRef>(from).get(std::get<ChoicesRef>(from).target));
  }
  template <class T>
  void operator()(T* to) const {
    *to = *std::get<T*>(from);
  }
};

}  // namespace

std::string to_text(const ConfigDifference& difference) {
  return fmt::format("{}: there {}, now {}", difference.key, difference.there, difference.now);
}

std::vector<ConfigDifference> config_differences(const Config& there, const Config& now) {
  const auto after = flatten_config(now);
  std::vector<ConfigDifference> differences;
  auto next = after.begin();  // both lists have the order of the file
  for (const auto& [key, value] : flatten_config(there)) {
    const auto found = std::find_if(next, after.end(),
                                    [&name = key](const auto& leaf) { return leaf.first == name; });
    if (found == after.end()) continue;  // another task's key
    if (found->second != value) differences.push_back({key, value, found->second});
    next = found + 1;
  }
  return differences;
}

std::optional<std::string> value_of_key(const Config& config, std::string_view key) {
  Config copy = config;  // fields() is not const
  FieldList fields;
  copy.fields(fields);
  const Field* field = fields.find(key);
  if (!field || field->is_section() || !field->rule.tasks.has(config.task)) return std::nullopt;
  return format_value(*field);
}

bool is_bookkeeping(std::string_view key) {
  if (key == "distributed.reduce_precision") return false;  // bf16 rounds the gradients
  return key.starts_with("distributed.") || key.starts_with("train.keep_") ||
         key.starts_with("train.log_") || contains(kBookkeeping, key);
}

Config with_defaults(Config config, const std::function<bool(std::string_view)>& which) {
  Config defaults;
  FieldList to, from;  // the same keys in the same order
  config.fields(to);
  defaults.fields(from);
  for (size_t i = 0; i < to.all().size(); ++i) {
    const Field& field = to.all()[i];
    if (which(field.path)) std::visit(CopyValue{from.all()[i].value}, field.value);
  }
  return config;
}

bool changes_function(std::string_view key) {
  if (key.starts_with("model.")) return !contains(kSameFunction, key);
  return contains(kFunction, key);
}

}  // namespace ssa
