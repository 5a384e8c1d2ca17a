#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ssa/config/config.h"

#include "config/format_value.h"
#include "config/parse_value.h"

namespace ssa {

namespace {

constexpr std::string_view kIntroduction = R"(# Config reference

<!-- Made by `ssa-train --config-reference > docs/reference/config.md`; edit
     include/ssa/config/config.h instead. -->

A config is a YAML file. Every key has a default except `task` and `data.path`.

- **Include.** `include: other.yaml` at the top level reads that file first (its path is relative to
  the including file); what the including file says itself wins, key by key.
- **Override.** `--set train.optimizer.lr=0.002` on the command line wins over files. The value is
  YAML: `--set 'ssa.sigma={first: 0.1, last: 0.2}'`, `--set 'model.embedding.cutoffs=[1, 2]'`.
- **Tasks.** Keys marked "Only for" belong to some tasks. A config of another task that sets one is
  refused.
- **Errors.** All problems are listed at once, each with file, line and key; exit code 2.
- **Resolved config.** `ssa-train --print-config` prints every key of the task. So does the
  `config.yaml` in each run folder. Both can be used as a config again.
- **Limits.** YAML aliases work. A file has at most 32 levels, 1 MiB and 100,000 values.

Rules that tie keys together:

- `model.heads` divides `model.width`.
- `ssa.layers` is at most `model.layers`.
- With `ssa.kind: local`, `ssa.windows` divides a language model's `data.length` and `eval.length`,
  and the rows of a picture, `data.image_size`.
- With `ssa.kind: unbiased`, `ssa.drop` leaves at least one source.
- `train.micro_batch` divides `train.batch_size`.
- `train.schedule.warmup_steps` is at most `train.steps`.
- `train.schedule.min_lr` and `warmup_lr` are at most `train.optimizer.lr`.
- `eval.overlap` is less than `eval.length`.
- `model.embedding.cutoffs` ascend. An adaptive embedding needs them. The last one is below the size
  of the vocabulary.
)";

constexpr std::string_view kTableHead =
    "\n| Key | Type | Default | Valid | Meaning |\n|---|---|---|---|---|\n";

std::string valid_values(const Field& field) {
  std::string text = range_of(field.rule);
  if (!field.rule.zero_word.empty()) text = fmt::format("`{}`, or {}", field.rule.zero_word, text);
  if (field.rule.items > 0) text = fmt::format("{} numbers, each {}", field.rule.items, text);
  if (!field.rule.unit_name.empty()) {
    text += fmt::format("{}({})", text.empty() ? "" : " ", field.rule.unit_name);
  }
  return text;
}

/// Which tasks have the key or section, unless it is clear from where it stands.
std::string owners(TaskSet tasks, TaskSet of_section) {
  return tasks == of_section ? "" : fmt::format("Only for {}.", tasks.names("`"));
}

std::string row(const Field& field, TaskSet of_section) {
  std::string type = type_of(field);
  if (const auto* choice = std::get_if<ChoiceRef>(&field.value)) {
    type = fmt::format("one of `{}`", fmt::join(choice->names, "`, `"));
  }
  if (const auto* choices = std::get_if<ChoicesRef>(&field.value)) {
    type = fmt::format("list of `{}`", fmt::join(choices->names, "`, `"));
  }
  const std::string initial =
      field.rule.is_required ? "required" : fmt::format("`{}`", format_value(field));
  const std::string only = owners(field.rule.tasks, of_section);
  return fmt::format("| `{}` | {} | {} | {} | {}{}{} |\n", field.path, type, initial,
                     valid_values(field), field.comment, only.empty() ? "" : " ", only);
}

}  // namespace

std::string config_reference() {
  Config defaults;
  FieldList fields;
  defaults.fields(fields);
  std::string text(kIntroduction);
  text += "\n## Top level\n";
  for (const Field& field : fields.all()) {
    // A section's own keys are declared around its subsections: list them together.
    if (!field.is_section() && &field != &fields.all().front()) continue;
    if (field.is_section()) {
      text += fmt::format("\n## {}\n", field.path);
      if (!field.comment.empty()) text += fmt::format("\n{}\n", field.comment);
      const std::string only = owners(field.rule.tasks, TaskSet::all());
      if (!only.empty()) text += fmt::format("\n{}\n", only);
      if (field.number_sets_all) {
        text += fmt::format("\n`{0}: 0.25` stands for all of the keys below.\n", field.path);
      }
    }
    text += kTableHead;
    const TaskSet tasks = field.is_section() ? field.rule.tasks : TaskSet::all();
    for (const Field* member :
         fields.members(field.is_section() ? std::string_view(field.path) : "")) {
      if (!member->is_section()) text += row(*member, tasks);
    }
  }
  return text;
}

}  // namespace ssa
