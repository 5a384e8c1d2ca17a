#include "config/suggest.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ssa {

namespace {

constexpr size_t kLongestKey = 80;

/// Names that fairseq, PyTorch and Hugging Face users type, and what they are called here.
constexpr auto kSynonyms = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"learning_rate", "train.optimizer.lr"},
     {"hidden_size", "model.width"},
     {"embed_dim", "model.width"},
     {"d_model", "model.width"},
     {"num_layers", "model.layers"},
     {"n_layers", "model.layers"},
     {"num_heads", "model.heads"},
     {"n_heads", "model.heads"},
     {"ffn_dim", "model.ffn_width"},
     {"dim_feedforward", "model.ffn_width"},
     {"max_steps", "train.steps"},
     {"max_update", "train.steps"},
     {"grad_clip", "train.clip_norm"},
     {"max_grad_norm", "train.clip_norm"},
     {"dtype", "train.precision"},
     {"seq_len", "data.length"},
     {"seq_length", "data.length"},
     {"tokens_per_sample", "data.length"},
     {"context_window", "eval.overlap"},
     {"warmup_updates", "train.schedule.warmup_steps"},
     {"save_every", "train.checkpoint_every"},
     {"gradient_checkpointing", "train.activation_checkpointing"}});

std::string_view last_part(std::string_view path) {
  return path.substr(path.rfind('.') + 1);  // npos + 1 is 0
}

/// The longest section that `path` begins with.
std::string_view section_of(const FieldList& fields, std::string_view path) {
  std::string_view section = path;
  while (!section.empty()) {
    const size_t dot = section.rfind('.');
    section = section.substr(0, dot == std::string_view::npos ? 0 : dot);
    const Field* field = fields.find(section);
    if (field && field->is_section()) break;
  }
  return section;
}

/// How far `path` is from a key: the same slip counts for less within the right section.
size_t distance_to(const Field& candidate, std::string_view path, std::string_view section) {
  const std::string_view name = last_part(path);
  const size_t elsewhere = edit_distance(name, candidate.name()) + 1;
  const size_t whole = edit_distance(path, candidate.path);
  if (candidate.parent() != section) return std::min(elsewhere, whole);
  return std::min({edit_distance(name, candidate.name()), elsewhere, whole});
}

std::string nearest_key(const FieldList& fields, std::string_view path, std::string_view section) {
  // "train.steps.x": the key goes too deep.
  for (const Field& candidate : fields.all()) {
    if (!candidate.is_section() && path.starts_with(candidate.path + ".")) return candidate.path;
  }
  for (const auto& [synonym, key] : kSynonyms) {
    if (last_part(path) == synonym) return std::string(key);
  }
  const size_t length = last_part(path).size();
  size_t best = length <= 3 ? 2 : std::max<size_t>(3, length / 3 + 1);  // only closer ones count
  std::string nearest;
  for (const Field& candidate : fields.all()) {
    const size_t distance = distance_to(candidate, path, section);
    if (distance < best || (distance == best && !nearest.empty() && candidate.parent() == section &&
                            fields.find(nearest)->parent() != section)) {
      best = distance;
      nearest = candidate.path;
    }
  }
  if (section.empty() && edit_distance(path, "include") < best) nearest = "include";
  return nearest;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string unknown_key_message(const FieldList& fields, std::string_view path) {
  const std::string_view section = section_of(fields, path);
  if (path.size() <= kLongestKey) {
    std::string plain(path);
    std::replace(plain.begin(), plain.end(), '-', '_');
    const std::string nearest = nearest_key(fields, plain, section);
    if (!nearest.empty()) return fmt::format("unknown key; did you mean {}?", nearest);
  }
  std::vector<std::string_view> names;
  for (const Field* member : fields.members(section)) names.push_back(member->name());
  return fmt::format("unknown key; {} has {}", section.empty() ? "the top level" : section,
                     fmt::join(names, ", "));
}

}  // namespace ssa
