#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ssa/config/field.h"
#include "ssa/config/limits.h"
#include "ssa/config/task_kind.h"

namespace ssa {

// The section `model`.

enum class ActivationKind { gelu, gelu_tanh, relu, elu };
constexpr auto choices(ActivationKind) {
  return std::to_array<std::string_view>({"gelu", "gelu_tanh", "relu", "elu"});
}
enum class PositionKind { alibi, relative_2d, none };
constexpr auto choices(PositionKind) {
  return std::to_array<std::string_view>({"alibi", "relative_2d", "none"});
}
enum class RelativeRows { all, causal };
constexpr auto choices(RelativeRows) { return std::to_array<std::string_view>({"all", "causal"}); }
enum class RelativeColumns { sub_pixels, pixels, pixels_and_channels };
constexpr auto choices(RelativeColumns) {
  return std::to_array<std::string_view>({"sub_pixels", "pixels", "pixels_and_channels"});
}
enum class AttentionKind { fused, materialized };
constexpr auto choices(AttentionKind) {
  return std::to_array<std::string_view>({"fused", "materialized"});
}
enum class EmbeddingKind { plain, adaptive };
constexpr auto choices(EmbeddingKind) {
  return std::to_array<std::string_view>({"plain", "adaptive"});
}

struct EmbeddingConfig {
  EmbeddingKind kind = EmbeddingKind::plain;
  std::vector<int64_t> cutoffs;  // adaptive
  int64_t factor = 4;            // adaptive
  bool tie_weights = true;
  bool tie_projections = true;  // adaptive

  template <class V>
  void fields(V& v) {
    v.field("kind", kind, anything().only_for(kLanguageModels),
            "plain: one table. adaptive: narrower bands for rarer words (Baevski & Auli 2018).");
    v.field("cutoffs", cutoffs, between(1, kMaxSize).only_for(kLanguageModels),
            "adaptive: where each band after the first begins, ascending, as in [20000, 60000].");
    v.field("factor", factor, between(1, 1024).only_for(kLanguageModels),
            "adaptive: each band is narrower than the one before by this factor.");
    v.field("tie_weights", tie_weights, anything(),
            "Use the input embedding as the output matrix.");
    v.field("tie_projections", tie_projections, anything().only_for(kLanguageModels),
            "adaptive: use the input projections of the bands in the output too.");
  }
  bool operator==(const EmbeddingConfig&) const = default;
};

/// Sizes of a Swin transformer (models/swin.h); the defaults are those of Swin-T.
struct SwinConfig {
  int64_t embed_width = 96;
  std::vector<int64_t> depths = {2, 2, 6, 2};
  std::vector<int64_t> heads = {3, 6, 12, 24};
  int64_t window = 7;
  int64_t patch = 4;
  int64_t ffn_ratio = 4;
  double drop_path = 0.2;

  template <class V>
  void fields(V& v) {
    v.field("embed_width", embed_width, between(1, 65536),
            "Width of the first stage. It doubles from stage to stage.");
    v.field("depths", depths, between(1, kMostLayers), "Blocks of each stage.");
    v.field("heads", heads, between(1, 65536), "Attention heads of each stage.");
    v.field("window", window, between(1, 4096).unit("cells"),
            "Side of a window of attention. A stage whose map is smaller has one window, its map.");
    v.field("patch", patch, between(1, 4096).unit("pixels"),
            "Side of a patch, which becomes a cell of the first stage's map.");
    v.field("ffn_ratio", ffn_ratio, between(1, 64),
            "Hidden width of the feed-forward part, in widths of the stage.");
    v.field("drop_path", drop_path, below_one(),
            "How often the last block leaves out a branch, for whole images. It grows linearly "
            "from 0 in the first block.");
  }
  bool operator==(const SwinConfig&) const = default;
};

/// Sizes of an EGT-Simple (models/egt.h); the defaults are those of the published model.
struct EgtConfig {
  int64_t edge_width = 64;
  int64_t virtual_nodes = 4;
  int64_t hops = 16;
  int64_t svd_rank = 8;
  double logit_clip = 5.0;
  bool degree_scaling = true;

  template <class V>
  void fields(V& v) {
    v.field("edge_width", edge_width, between(1, 65536), "Width of a pair's features.");
    v.field("virtual_nodes", virtual_nodes, between(1, 16).unit("nodes"),
            "Nodes that every graph has besides its atoms. The prediction is read from them.");
    v.field("hops", hops, between(1, 128).unit("bonds"),
            "Distances up to this many bonds have an embedding each; all farther ones share one.");
    v.field("svd_rank", svd_rank, between(1, 8),
            "Singular vectors of the adjacency matrix that an atom's encoding consists of.");
    v.field("logit_clip", logit_clip, at_least(0),
            "Products of query and key are clipped to ± this. 0: no clipping.");
    v.field("degree_scaling", degree_scaling, anything(),
            "Multiply what an atom attends to by log(1 + the sum of its gates).");
  }
  bool operator==(const EgtConfig&) const = default;
};

struct ModelConfig {
  int64_t layers = 16;
  int64_t width = 1024;
  int64_t ffn_width = 4096;
  int64_t heads = 8;
  ActivationKind activation = ActivationKind::gelu;
  PositionKind position = PositionKind::alibi;
  RelativeRows relative_rows = RelativeRows::all;
  RelativeColumns relative_columns = RelativeColumns::sub_pixels;
  bool relative_shared = false;
  AttentionKind attention = AttentionKind::fused;
  bool final_norm = true;
  EmbeddingConfig embedding;
  double dropout = 0.0;
  double attention_dropout = 0.0;
  double activation_dropout = 0.0;
  double softmax_dropout = 0.0;
  SwinConfig swin;
  EgtConfig egt;

  template <class V>
  void fields(V& v) {
    v.field("layers", layers, between(1, kMostLayers).only_for(kUniformLayers),
            "Number of transformer blocks.");
    v.field("width", width, between(1, 1048576).only_for(kUniformLayers),
            "Model width d, a multiple of `heads`.");
    v.field("ffn_width", ffn_width, between(1, 4194304).only_for(kUniformLayers),
            "Hidden width of the feed-forward part.");
    v.field("heads", heads, between(1, 65536).only_for(kUniformLayers), "Attention heads.");
    v.field("activation", activation, anything().only_for(kUniformLayers),
            "Activation of the feed-forward part.");
    v.field("position", position, anything().only_for(kSequences),
            "Position bias of the attention. alibi: Press et al. 2021. relative_2d: a learned "
            "table over row and column distance, for images.");
    v.field("relative_rows", relative_rows, anything().only_for(kImageGeneration),
            "relative_2d: the row distances in the table. all: rows above and below the target's. "
            "causal: only those at or above it, which are all that the model looks at.");
    v.field("relative_columns", relative_columns, anything().only_for(kImageGeneration),
            "relative_2d: the column distances in the table. sub_pixels: those of the 3 sub-pixels "
            "of each pixel. pixels: those of the pixels, blind to channels. pixels_and_channels: "
            "those of the pixels, for each difference of channels.");
    v.field("relative_shared", relative_shared, anything().only_for(kImageGeneration),
            "relative_2d: one table for all layers, instead of one for each.");
    v.field("attention", attention, anything().only_for(kSequences),
            "How attention is computed; the result is the same. fused: without storing the "
            "attention weights. materialized: stores them for the backward pass, as the paper's "
            "baseline does.");
    v.field("final_norm", final_norm, anything().only_for(kSequences),
            "Layer norm after the last block.");
    v.section("embedding", embedding, "Input embedding and output matrix.", {.tasks = kSequences});
    v.field("dropout", dropout, below_one().only_for(kUniformLayers),
            "Dropout on embeddings and residual branches.");
    v.field("attention_dropout", attention_dropout, below_one().only_for(kUniformLayers),
            "Dropout on attention weights.");
    v.field("activation_dropout", activation_dropout, below_one().only_for(kUniformLayers),
            "Dropout after the activation of the feed-forward part.");
    v.field("softmax_dropout", softmax_dropout, below_one().only_for(kLanguageModels),
            "Dropout on the tail projections of the adaptive softmax.");
    v.section("swin", swin, "Sizes of a Swin transformer (Liu et al. 2021).",
              {.tasks = kImageClassification});
    v.section("egt", egt, "Sizes of an EGT-Simple (Hussain et al. 2022).",
              {.tasks = kGraphRegression});
  }
  bool operator==(const ModelConfig&) const = default;
};

}  // namespace ssa
