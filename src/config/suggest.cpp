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

/// How far `path` is from a key: the same slip counts for less within the right section. More than
/// `most` is given as some number above it.
size_t distance_to(const Field& candidate, std::string_view path, std::string_view section,
                   size_t most) {
  const size_t name = edit_distance(last_part(path), candidate.name(), most);
  const size_t by_name = candidate.parent() == section ? name : name + 1;
  return std::min(by_name, edit_distance(path, candidate.path, std::min(most, by_name)));
}

bool begins_with_key(std::string_view path, const Field& key) {
  return path.size() > key.path.size() && path[key.path.size()] == '.' &&
         path.starts_with(key.path);
}

std::string nearest_key(const FieldList& fields, std::string_view path, std::string_view section) {
  // "train.steps.x": the key goes too deep.
  for (const Field& candidate : fields.all()) {
    if (!candidate.is_section() && begins_with_key(path, candidate)) return candidate.path;
  }
  for (const auto& [synonym, key] : kSynonyms) {
    if (last_part(path) == synonym) return std::string(key);
  }
  const size_t length = last_part(path).size();
  size_t best = length <= 3 ? 2 : std::max<size_t>(3, length / 3 + 1);  // only closer ones count
  std::string nearest;
  for (const Field& candidate : fields.all()) {
    const size_t distance = distance_to(candidate, path, section, best);
    if (distance < best || (distance == best && !nearest.empty() && candidate.parent() == section &&
                            fields.find(nearest)->parent() != section)) {
      best = distance;
      nearest = candidate.path;
    }
  }
  if (section.empty() && edit_distance(path, "include", best) < best) nearest = "include";
  return nearest;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t most) {
  const size_t longer = std::max(a.size(), b.size()), gap = longer - std::min(a.size(), b.size());
  if (gap > most) return gap;
  most = std::min(most, longer);
  const size_t width = b.size() + 1, above = most + 1;
  std::vector<size_t> memory(3 * width, above);
  size_t *before_last = &memory[0], *last = &memory[width], *row = &memory[2 * width];
  for (size_t j = 0; j < width; ++j) row[j] = j;
  size_t least = 0, least_before = 0;  // of this row and the one before: no later one goes below
  for (size_t i = 1; i <= a.size() && std::min(least, least_before) <= most; ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    // Prefixes whose lengths differ by more than `most` are too far apart.
    const size_t first = i > most ? i - most : 1, end = std::min(width, i + most + 1);
    row[first - 1] = first == 1 ? i : above;
    least_before = std::exchange(least, row[first - 1]);
    for (size_t j = first; j < end; ++j) {
      row[j] = std::min(std::min(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (end < width) row[end] = above;
  }
  const size_t reached = std::min(least, least_before);
  return reached > most ? reached : row[b.size()];
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
