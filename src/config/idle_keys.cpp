#include "ssa/config/idle_keys.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "config/format_value.h"

namespace ssa {

namespace {

/// A key, or with a final dot all keys of a section, that takes effect only with certain values of
/// another key.
struct Condition {
  std::string_view key;
  std::string_view master;
  std::string_view values;  ///< of the master, separated by blanks
  bool among = true;        ///< the master has one of the values; false: none of them
};

constexpr auto kConditions = std::to_array<Condition>({
    {"ssa.layers", "ssa.kind", "none", false},
    {"ssa.windows", "ssa.kind", "local"},
    {"ssa.sigma.", "ssa.kind", "local"},
    {"ssa.drop", "ssa.kind", "unbiased"},
    {"ssa.scope", "ssa.kind", "none", false},
    {"ssa.virtual_nodes", "ssa.kind", "unbiased"},
    {"ssa.order", "ssa.kind", "local"},
    {"ssa.finetune_fraction", "ssa.kind", "none", false},
    {"model.relative_rows", "model.position", "relative_2d"},
    {"model.relative_columns", "model.position", "relative_2d"},
    {"model.relative_shared", "model.position", "relative_2d"},
    {"model.embedding.cutoffs", "model.embedding.kind", "adaptive"},
    {"model.embedding.factor", "model.embedding.kind", "adaptive"},
    {"model.embedding.tie_projections", "model.embedding.kind", "adaptive"},
    {"model.softmax_dropout", "model.embedding.kind", "adaptive"},
    {"data.vocabulary", "task", "byte_lm", false},
    {"data.rand_augment.", "data.rand_augment.operations", "0", false},
    {"data.erasing.", "data.erasing.probability", "0", false},
    {"data.mixing.", "data.mixing.probability", "0", false},
    {"train.steps", "train.epochs", "0"},
    {"train.schedule.warmup_steps", "train.schedule.warmup_epochs", "0"},
    {"train.schedule.min_lr", "train.schedule.decay", "constant", false},
    {"train.optimizer.betas", "train.optimizer.kind", "adam adamw"},
    {"train.optimizer.eps", "train.optimizer.kind", "adam adamw"},
    {"train.optimizer.momentum", "train.optimizer.kind", "sgd"},
    {"train.init_skip", "train.init_from", "", false},
    {"train.sample_length", "train.samples", "0", false},
    {"train.sample_prompt", "train.samples", "0", false},
    {"train.patience", "train.eval_every", "0", false},
    {"eval.weights", "train.ema_decay", "0", false},
});

bool is_of(std::string_view key, const Condition& condition) {
  if (key == condition.master) return false;
  if (!condition.key.ends_with('.')) return key == condition.key;
  const std::string_view section = condition.key.substr(0, condition.key.size() - 1);
  return key == section || key.starts_with(condition.key);
}

/// Whether a word stands in a list that blanks separate; the empty word in the empty list.
bool has_word(std::string_view list, std::string_view word) {
  while (true) {
    const size_t blank = list.find(' ');
    if (list.substr(0, blank) == word) return true;
    if (blank == std::string_view::npos) return false;
    list.remove_prefix(blank + 1);
  }
}

/// The table of keys of a config. It keeps the config that it points into.
class Table {
 public:
  explicit Table(const Config& config) : config_(config) { config_.fields(fields_); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  const FieldList& fields() const { return fields_; }

  std::string value(std::string_view key) const {
    const Field* const field = fields_.find(key);
    if (!field) return {};
    if (const auto* text = std::get_if<std::string*>(&field->value)) return **text;
    if (const auto* number = std::get_if<double*>(&field->value))
      return fmt::format("{}", **number);
    return format_value(*field);
  }

  /// What keeps a key from having an effect; null: it has one.
  const Condition* obstacle(std::string_view key) const {
    const auto found = std::ranges::find_if(kConditions, [&](const Condition& condition) {
      return is_of(key, condition) &&
             has_word(condition.values, value(condition.master)) != condition.among;
    });
    return found == kConditions.end() ? nullptr : &*found;
  }

 private:
  Config config_;
  FieldList fields_;
};

std::string reason_of(const Condition& condition, const std::string& value) {
  if (value.empty()) return fmt::format("{} is not set", condition.master);
  return fmt::format("{} is {}", condition.master, value);
}

}  // namespace

std::vector<IdleKey> idle_keys(const Config& config) {
  const Table given(config), defaults((Config()));
  std::vector<IdleKey> idle;
  for (const Field& field : given.fields().all()) {
    if (field.is_section() || !field.rule.tasks.has(config.task)) continue;
    const std::string value = given.value(field.path);
    if (value == defaults.value(field.path)) continue;
    const Condition* const obstacle = given.obstacle(field.path);
    if (!obstacle) continue;
    IdleKey key{field.path, value, reason_of(*obstacle, given.value(obstacle->master))};
    // One number that stands for all keys of a section, as in `sigma: 0.3`, is one key.
    const Field* const section = given.fields().find(field.parent());
    if (section && section->number_sets_all) {
      const auto same = [&](const Field* member) { return given.value(member->path) == value; };
      if (std::ranges::all_of(given.fields().members(section->path), same)) key.key = section->path;
    }
    if (idle.empty() || idle.back().key != key.key) idle.push_back(std::move(key));
  }
  return idle;
}

bool has_effect(const Config& config, std::string_view key) {
  // Few keys have a condition, and a report asks for every key of every run.
  const auto of_key = [&](const Condition& condition) { return is_of(key, condition); };
  if (std::ranges::none_of(kConditions, of_key)) return true;
  return Table(config).obstacle(key) == nullptr;
}

}  // namespace ssa
