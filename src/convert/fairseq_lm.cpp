// transformer_lm of fairseq, with plain or adaptive embedding (docs/reference/weights.md).

#include "convert/names.h"

namespace ssa {

namespace {

const std::string kEmbedding = "decoder.embed_tokens";
const std::string kSoftmax = "decoder.adaptive_softmax";
const std::string kOutput = "decoder.output_projection.weight";

const Renames kNames = {{"final_norm.", "decoder.layer_norm."},
                        {"blocks.", "decoder.layers."},
                        {".attention_norm.", ".self_attn_layer_norm."},
                        {".attention.query.", ".self_attn.q_proj."},
                        {".attention.key.", ".self_attn.k_proj."},
                        {".attention.value.", ".self_attn.v_proj."},
                        {".attention.output.", ".self_attn.out_proj."},
                        {".ffn_norm.", ".final_layer_norm."},
                        {".ffn.up.", ".fc1."},
                        {".ffn.down.", ".fc2."}};

std::string tail(int64_t band, int map) {
  return fmt::format("{}.tail.{}.{}.weight", kSoftmax, band - 1, map);
}

/// A part of the untied head: the words of the first band, then the classes of the other bands.
Placement head_part(int64_t first, const Shape& shape, const EmbeddingConfig& embedding) {
  const int64_t words = embedding.cutoffs.front();
  return {kSoftmax + ".head.weight",
          {words + std::ssize(embedding.cutoffs), shape[1]},
          rows_from(first, shape[0])};
}

/// Of the embedding of a band, and of the output where it is tied.
std::vector<Placement> input_band(const std::string& name, const Shape& shape,
                                  const EmbeddingConfig& embedding) {
  const int64_t band = number_after(name, "embedding.bands.");
  const bool is_projection = name.ends_with(".projection.weight");
  std::vector<Placement> found = {
      {fmt::format("{}.embeddings.{}.{}.weight", kEmbedding, band, is_projection ? 1 : 0), shape}};
  if (is_projection) {
    if (embedding.tie_projections && band > 0) found.push_back({tail(band, 0), shape});
  } else if (embedding.tie_weights) {
    found.push_back({band == 0 ? kSoftmax + ".head.word_proj.weight" : tail(band, 2), shape});
  }
  return found;
}

std::vector<Placement> output_band(const std::string& name, const Shape& shape,
                                   const EmbeddingConfig& embedding) {
  const int64_t band = number_after(name, "output.bands.");
  if (band == 0) return {head_part(0, shape, embedding)};
  return {{tail(band, name.ends_with(".projection.weight") ? 0 : 2), shape}};
}

std::vector<Placement> places(const std::string& name, const Shape& shape, const Config& config) {
  const EmbeddingConfig& embedding = config.model.embedding;
  if (name == "embedding.weight") {
    std::vector<Placement> found = {{kEmbedding + ".weight", shape}};
    if (embedding.tie_weights) found.push_back({kOutput, shape});
    return found;
  }
  if (name == "output.weight") return {{kOutput, shape}};
  if (name == "output.classes.weight") {
    if (embedding.tie_weights) return {{kSoftmax + ".head.class_proj.weight", shape}};
    return {head_part(embedding.cutoffs.front(), shape, embedding)};
  }
  if (name.starts_with("embedding.bands.")) return input_band(name, shape, embedding);
  if (name.starts_with("output.bands.")) return output_band(name, shape, embedding);
  return {{renamed(name, kNames), shape}};
}

/// fairseq until 2020 kept an untied output matrix as a bare parameter.
std::string todays_name(const std::string& name, const std::set<std::string>& /*all*/) {
  return name == "decoder.embed_out" ? kOutput : name;
}

/// Without its version, fairseq takes a checkpoint for one of 2017, which had no final norm.
std::vector<Constant> constants(const Config& config) {
  std::vector<Constant> all = {{"decoder.version", 3}};
  if (config.model.embedding.kind != EmbeddingKind::adaptive) return all;
  all.push_back({kSoftmax + ".version", 1});
  all.push_back({kEmbedding + "._float_tensor", 0});
  if (config.model.embedding.tie_weights) all.push_back({kSoftmax + ".head._float_tensor", 0});
  return all;
}

}  // namespace

Layout fairseq_lm_layout() {
  return {.name = "fairseq_lm",
          .about = "transformer_lm of fairseq, plain or adaptive; ALiBi fork",
          .tasks = kLanguageModels,
          .places = places,
          .todays_name = todays_name,
          .constants = constants,
          .not_weights = {"decoder.version", "decoder.adaptive_softmax.version",
                          "decoder.embed_tokens._float_tensor",
                          "decoder.adaptive_softmax.head._float_tensor"},
          .first_words = {"<s>", "<pad>", "</s>", "<unk>"}};
}

}  // namespace ssa
