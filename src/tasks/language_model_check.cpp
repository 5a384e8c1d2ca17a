// What a language model's config must satisfy beyond the schema.

#include <fmt/format.h>

#include "ssa/config/config_check.h"
#include "ssa/config/eval_length.h"
#include "ssa/tasks/language_model.h"

namespace ssa {

int64_t configured_vocabulary(const Config& config) {
  if (config.task == TaskKind::byte_lm) return 256;
  if (config.data.vocabulary > 0) return config.data.vocabulary;
  if (config.data.name == "wikitext103") return 267735;  // Merity et al. 2017
  if (config.data.name == "wikitext2") return 33278;
  return 0;
}

int64_t vocabulary_size(const Config& config) {
  const int64_t tokens = configured_vocabulary(config);
  if (tokens > 0) return tokens;
  throw ConfigError(
      "data.vocabulary: the config does not say how many tokens there are, and nothing is "
      "published for data.name \"{}\" (only for wikitext103 and wikitext2); set data.vocabulary to "
      "the number that `ssa-data info` shows",
      config.data.name);
}

namespace {

void check_position(ConfigCheck& check) {
  const Config& config = check.config();
  if (!check.usable({"model.position"})) return;
  if (config.model.position != PositionKind::relative_2d) return;
  check.fail(
      {"model.position", "task"},
      fmt::format("relative_2d is for images; task {} takes alibi or none", name(config.task)));
}

void check_vocabulary(ConfigCheck& check) {
  if (!check.usable({"data.vocabulary"})) return;
  const Config& config = check.config();
  const int64_t tokens = configured_vocabulary(config), given = config.data.vocabulary;
  if (config.task != TaskKind::byte_lm || given == 0 || given == tokens) return;
  check.fail(
      {"data.vocabulary", "task"},
      fmt::format("task byte_lm has {} tokens, not {}; leave data.vocabulary at 0", tokens, given));
}

void check_last_cutoff(ConfigCheck& check) {
  const EmbeddingConfig& embedding = check.config().model.embedding;
  const int64_t tokens = configured_vocabulary(check.config());
  if (embedding.kind != EmbeddingKind::adaptive || embedding.cutoffs.empty()) return;
  if (!check.usable({"model.embedding.cutoffs", "data.vocabulary"})) return;
  if (tokens == 0 || embedding.cutoffs.back() < tokens) return;
  check.fail({"model.embedding.cutoffs", "model.embedding.kind", "data.vocabulary", "data.name"},
             fmt::format("the last cutoff, {}, must be below the vocabulary's {} tokens, or the "
                         "last band is empty",
                         embedding.cutoffs.back(), tokens));
}

}  // namespace

void LanguageModelTask::check(ConfigCheck& check) const {
  check_position(check);
  check_vocabulary(check);
  check_last_cutoff(check);
  Task::check(check);
}

std::vector<std::string_view> LanguageModelTask::geometry_keys(Use use) const {
  std::vector<std::string_view> keys = Task::geometry_keys(use);
  keys.push_back(use == Use::evaluation ? eval_length(config()).key : "data.length");
  return keys;
}

}  // namespace ssa
