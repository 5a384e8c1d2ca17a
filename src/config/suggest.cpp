#include "config/suggest.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ssa/core/edit_distance.h"

namespace ssa {

namespace {

constexpr size_t kLongestKey = 80;

/// Names that users of fairseq, nanoGPT, llm.c, timm, PyTorch and Hugging Face type, and what they
/// are called here.
constexpr auto kSynonyms = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"learning_rate", "train.optimizer.lr"},
     {"max_lr", "train.optimizer.lr"},
     {"base_lr", "train.optimizer.lr"},
     {"wd", "train.optimizer.weight_decay"},
     {"adam_betas", "train.optimizer.betas"},
     {"beta1", "train.optimizer.betas"},
     {"beta2", "train.optimizer.betas"},
     {"adam_beta1", "train.optimizer.betas"},
     {"adam_beta2", "train.optimizer.betas"},
     {"adam_eps", "train.optimizer.eps"},
     {"adam_epsilon", "train.optimizer.eps"},
     {"optim", "train.optimizer.kind"},
     {"opt", "train.optimizer.kind"},
     {"optimizer_type", "train.optimizer.kind"},
     {"hidden_size", "model.width"},
     {"hidden_dim", "model.width"},
     {"embed_dim", "model.width"},
     {"d_model", "model.width"},
     {"n_embd", "model.width"},
     {"dim", "model.width"},
     {"num_layers", "model.layers"},
     {"n_layers", "model.layers"},
     {"n_layer", "model.layers"},
     {"depth", "model.layers"},
     {"decoder_layers", "model.layers"},
     {"num_hidden_layers", "model.layers"},
     {"num_heads", "model.heads"},
     {"n_heads", "model.heads"},
     {"n_head", "model.heads"},
     {"num_attention_heads", "model.heads"},
     {"decoder_attention_heads", "model.heads"},
     {"ffn_dim", "model.ffn_width"},
     {"dim_feedforward", "model.ffn_width"},
     {"intermediate_size", "model.ffn_width"},
     {"decoder_ffn_embed_dim", "model.ffn_width"},
     {"n_inner", "model.ffn_width"},
     {"activation_fn", "model.activation"},
     {"hidden_act", "model.activation"},
     {"attn_dropout", "model.attention_dropout"},
     {"attn_pdrop", "model.attention_dropout"},
     {"resid_pdrop", "model.dropout"},
     {"embd_pdrop", "model.dropout"},
     {"drop_path_rate", "model.swin.drop_path"},
     {"max_steps", "train.steps"},
     {"max_update", "train.steps"},
     {"max_iters", "train.steps"},
     {"num_iterations", "train.steps"},
     {"iterations", "train.steps"},
     {"max_epoch", "train.epochs"},
     {"max_epochs", "train.epochs"},
     {"num_epochs", "train.epochs"},
     {"num_train_epochs", "train.epochs"},
     {"batch", "train.batch_size"},
     {"total_batch_size", "train.batch_size"},
     {"global_batch_size", "train.batch_size"},
     {"train_batch_size", "train.batch_size"},
     {"max_sentences", "train.batch_size"},
     {"per_device_train_batch_size", "train.micro_batch"},
     {"micro_batch_size", "train.micro_batch"},
     {"local_batch_size", "train.micro_batch"},
     {"gradient_accumulation_steps", "train.micro_batch"},
     {"accumulation_steps", "train.micro_batch"},
     {"grad_accum_steps", "train.micro_batch"},
     {"update_freq", "train.micro_batch"},
     {"per_device_eval_batch_size", "eval.batch_size"},
     {"grad_clip", "train.clip_norm"},
     {"clip_grad", "train.clip_norm"},
     {"max_grad_norm", "train.clip_norm"},
     {"dtype", "train.precision"},
     {"bf16", "train.precision"},
     {"bfloat16", "train.precision"},
     {"fp16", "train.precision"},
     {"amp", "train.precision"},
     {"mixed_precision", "train.precision"},
     {"random_seed", "train.seed"},
     {"smoothing", "train.label_smoothing"},
     {"model_ema_decay", "train.ema_decay"},
     {"seq_len", "data.length"},
     {"seq_length", "data.length"},
     {"block_size", "data.length"},
     {"context_length", "data.length"},
     {"max_seq_len", "data.length"},
     {"n_ctx", "data.length"},
     {"n_positions", "data.length"},
     {"max_position_embeddings", "data.length"},
     {"tokens_per_sample", "data.length"},
     {"vocab_size", "data.vocabulary"},
     {"dataset", "data.path"},
     {"data_dir", "data.path"},
     {"img_size", "data.image_size"},
     {"num_classes", "data.classes"},
     {"num_workers", "data.workers"},
     {"context_window", "eval.overlap"},
     {"warmup", "train.schedule.warmup_steps"},
     {"warmup_updates", "train.schedule.warmup_steps"},
     {"warmup_iters", "train.schedule.warmup_steps"},
     {"warmup_iterations", "train.schedule.warmup_steps"},
     {"warmup_ratio", "train.schedule.warmup_steps"},
     {"lr_scheduler", "train.schedule.decay"},
     {"lr_scheduler_type", "train.schedule.decay"},
     {"decay_lr", "train.schedule.decay"},
     {"sched", "train.schedule.decay"},
     {"min_learning_rate", "train.schedule.min_lr"},
     {"eval_interval", "train.eval_every"},
     {"eval_steps", "train.eval_every"},
     {"validate_interval_updates", "train.eval_every"},
     {"log_interval", "train.log_every"},
     {"logging_steps", "train.log_every"},
     {"save_every", "train.checkpoint_every"},
     {"save_steps", "train.checkpoint_every"},
     {"save_interval_updates", "train.checkpoint_every"},
     {"save_total_limit", "train.keep_checkpoints"},
     {"keep_last_epochs", "train.keep_checkpoints"},
     {"early_stopping_patience", "train.patience"},
     {"load_best_model_at_end", "train.keep_best"},
     {"pretrained", "train.init_from"},
     {"finetune_from_model", "train.init_from"},
     {"gradient_checkpointing", "train.activation_checkpointing"},
     {"grad_checkpointing", "train.activation_checkpointing"}});

/// What a synonym means that is counted in another way than the key here.
constexpr auto kHow = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"gradient_accumulation_steps", "batch_size / micro_batch is the number of accumulated parts"},
     {"accumulation_steps", "batch_size / micro_batch is the number of accumulated parts"},
     {"grad_accum_steps", "batch_size / micro_batch is the number of accumulated parts"},
     {"update_freq", "batch_size / micro_batch is the number of accumulated parts"},
     {"per_device_train_batch_size", "train.batch_size is that of all devices together"},
     {"bf16", "as in precision: bf16"},
     {"bfloat16", "as in precision: bf16"},
     {"fp16", "as in precision: fp16"},
     {"beta1", "a list of both, as in betas: [0.9, 0.95]"},
     {"beta2", "a list of both, as in betas: [0.9, 0.95]"},
     {"adam_beta1", "a list of both, as in betas: [0.9, 0.95]"},
     {"adam_beta2", "a list of both, as in betas: [0.9, 0.95]"},
     {"warmup_ratio", "in steps; or train.schedule.warmup_epochs"},
     {"context_window", "the tokens before a window that are context only"}});

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
  for (const Field& candidate : fields.all()) {  // "evl.mode": the slip is in the section
    if (edit_distance(path, candidate.path, 1) == 1) return candidate.path;
  }
  // "model.swin.depth" is a slip of depths, and no other program's name.
  for (const Field* member : fields.members(section)) {
    if (edit_distance(last_part(path), member->name()) == 1) return member->path;
  }
  for (const auto& [synonym, key] : kSynonyms) {
    if (last_part(path) == synonym && fields.find(key)) return std::string(key);
  }
  size_t best = edits_of_another_word(last_part(path).size());
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

/// " (…)" for a name that means something a little different; else empty.
std::string how_to_count(std::string_view path) {
  const auto found =
      std::ranges::find(kHow, last_part(path), [](const auto& one) { return one.first; });
  return found == kHow.end() ? std::string() : fmt::format(" ({})", found->second);
}

}  // namespace

std::string unknown_key_message(const FieldList& fields, std::string_view path) {
  const std::string_view section = section_of(fields, path);
  if (path.size() <= kLongestKey) {
    std::string plain(path);
    std::replace(plain.begin(), plain.end(), '-', '_');
    const std::string nearest = nearest_key(fields, plain, section);
    if (!nearest.empty()) {
      return fmt::format("unknown key; did you mean {}?{}", nearest, how_to_count(plain));
    }
  }
  std::vector<std::string_view> names;
  for (const Field* member : fields.members(section)) names.push_back(member->name());
  return fmt::format("unknown key; {} has {}", section.empty() ? "the top level" : section,
                     fmt::join(names, ", "));
}

}  // namespace ssa
