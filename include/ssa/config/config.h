#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ssa/config/augmentation.h"
#include "ssa/config/field.h"
#include "ssa/config/picture_recipe.h"
#include "ssa/config/task_kind.h"

namespace ssa {

// The whole configuration: plain structs whose member initialisers are the defaults. Each struct
// has one fields() function, which names every key with its comment and its valid values; loading,
// dumping, overriding, help and validation all walk it (see field.h). Rules that tie several keys
// together are in src/config/validate.cpp, those of one task in the task (Task::check).
// docs/reference/config.md is made from this file.

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
enum class OnBadImage { error, skip };
constexpr auto choices(OnBadImage) { return std::to_array<std::string_view>({"error", "skip"}); }
enum class AttentionKind { fused, materialized };
constexpr auto choices(AttentionKind) {
  return std::to_array<std::string_view>({"fused", "materialized"});
}
enum class EmbeddingKind { plain, adaptive };
constexpr auto choices(EmbeddingKind) {
  return std::to_array<std::string_view>({"plain", "adaptive"});
}
enum class SsaKind { none, unbiased, local };
constexpr auto choices(SsaKind) {
  return std::to_array<std::string_view>({"none", "unbiased", "local"});
}
enum class SsaScope { sample, batch };
constexpr auto choices(SsaScope) { return std::to_array<std::string_view>({"sample", "batch"}); }
enum class VirtualNodes { keep, sample };
constexpr auto choices(VirtualNodes) { return std::to_array<std::string_view>({"keep", "sample"}); }
enum class AtomOrder { bfs, rcm };
constexpr auto choices(AtomOrder) { return std::to_array<std::string_view>({"bfs", "rcm"}); }
enum class Precision { fp32, bf16, fp16 };
constexpr auto choices(Precision) {
  return std::to_array<std::string_view>({"fp32", "bf16", "fp16"});
}
enum class Checkpointing { none, attention, block };
constexpr auto choices(Checkpointing) {
  return std::to_array<std::string_view>({"none", "attention", "block"});
}
enum class OptimizerKind { adam, adamw, sgd };
constexpr auto choices(OptimizerKind) {
  return std::to_array<std::string_view>({"adam", "adamw", "sgd"});
}
enum class DecayKind { constant, linear, cosine, inverse_sqrt };
constexpr auto choices(DecayKind) {
  return std::to_array<std::string_view>({"constant", "linear", "cosine", "inverse_sqrt"});
}
enum class ReducePrecision { fp32, bf16 };
constexpr auto choices(ReducePrecision) {
  return std::to_array<std::string_view>({"fp32", "bf16"});
}
enum class EvalMode { renorm, ensemble };
constexpr auto choices(EvalMode) { return std::to_array<std::string_view>({"renorm", "ensemble"}); }

/// The most sub-models of an ensemble: their numbers are part of a random key of 16 bits.
inline constexpr int64_t kMostSamples = 65536;
/// Largest value of keys that end up as an int32 position or in a product of two sizes.
inline constexpr double kMaxSize = 2147483647.0;
inline constexpr int64_t kMostLayers = 10000;
inline constexpr double kMostSteps = 1e12;
inline constexpr double kMostEpochs = 1e6;

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

/// `sigma: 0.25` or `sigma: {first: 0.02, last: 0.1}`.
struct SigmaConfig {
  double first = 0.02;
  double last = 0.1;

  template <class V>
  void fields(V& v) {
    v.field("first", first, at_least(0).unit("fraction of the input length"),
            "In the first layer that samples.");
    v.field("last", last, at_least(0).unit("fraction of the input length"), "In the last layer.");
  }
  bool operator==(const SigmaConfig&) const = default;
};

struct SsaConfig {
  SsaKind kind = SsaKind::none;
  int64_t layers = 0;  // the last n layers; 0: all of them
  int64_t windows = 4;
  SigmaConfig sigma;
  double drop = 0.5;
  SsaScope scope = SsaScope::sample;
  VirtualNodes virtual_nodes = VirtualNodes::keep;
  AtomOrder order = AtomOrder::bfs;
  double finetune_fraction = 0.0;

  template <class V>
  void fields(V& v) {
    v.field("kind", kind, anything(),
            "none: dense attention. unbiased: a uniform sample of the sources. local: windows of "
            "a noisy order of the sources.");
    v.field("layers", layers, between(0, kMostLayers),
            "Sample in the last n of the layers that can be sampled. 0: in all of them.");
    v.field(
        "windows", windows, between(1, kMaxSize),
        "local: number of windows. It divides `data.length` and `eval.length`, or the rows of a "
        "generated picture. image_classification: squares that a window is cut into. "
        "graph_regression: windows of a molecule's atoms; their sizes differ by one at most.");
    v.section("sigma", sigma,
              "local: standard deviation of the noise on the order, linear over the layers that "
              "sample. 0: plain windows; large: uniform sampling.",
              {.number_sets_all = true});
    v.field("drop", drop, below_one(), "unbiased: fraction of the sources that is dropped.");
    v.field("scope", scope, anything().only_for(kGraphRegression),
            "sample: each graph has its own draw. batch: a draw for all graphs of a step; a graph "
            "takes the part of it that its atoms number.");
    v.field("virtual_nodes", virtual_nodes, anything().only_for(kGraphRegression),
            "unbiased: keep: virtual nodes are always sources. sample: they are drawn like atoms.");
    v.field("order", order, anything().only_for(kGraphRegression),
            "local: the line on which a molecule's atoms are shuffled and cut into windows. bfs: "
            "breadth-first. rcm: reverse Cuthill-McKee.");
    v.field("finetune_fraction", finetune_fraction, between(0, 1).unit("fraction of the steps"),
            "Train with dense attention for this last part of the steps (+FT).");
  }
  bool operator==(const SsaConfig&) const = default;
};

struct DataConfig {
  std::string name;
  std::string path;
  int64_t length = 1024;
  int64_t vocabulary = 0;  // word_lm; 0: from the data set
  int64_t image_size = 32;
  int64_t validation = 0;
  std::vector<Augmentation> augment = {Augmentation::rotation, Augmentation::transposition};
  int64_t classes = 0;  // 0: from the data set
  int64_t resize = 256;
  CropConfig crop;
  double flip = 0.5;
  RandAugmentConfig rand_augment;
  ErasingConfig erasing;
  MixingConfig mixing;
  OnBadImage on_bad_image = OnBadImage::error;
  int64_t workers = 0;  // 0 is written `auto`

  template <class V>
  void fields(V& v) {
    v.field("name", name, anything(), "Name of the data set, for logs and reports.");
    v.field("path", path, required(),
            "Folder made by `ssa-data prepare`; for byte_lm also any plain file.");
    v.field("length", length, between(1, kMaxSize).unit("positions").only_for(kLanguageModels),
            "Length of a training sequence.");
    v.field("vocabulary", vocabulary, between(0, kMaxSize).unit("tokens").only_for(kLanguageModels),
            "word_lm: size of the vocabulary. 0: the data set's own. Where no data are opened: the "
            "published size for `name`, 267735 for wikitext103 and 33278 for wikitext2.");
    v.field("image_size", image_size, between(1, 4096).unit("pixels").only_for(kImages),
            "Side of a picture. image_generation: it divides that of the data's pictures, which "
            "are averaged over squares of pixels. image_classification: pictures are cut and "
            "resized to it.");
    v.field("validation", validation,
            between(0, kMaxSize).unit("images").only_for(kImageGeneration),
            "How many of the last training images are the valid split. 0: the valid split of the "
            "data; without one, their test split.");
    v.field("augment", augment, anything().only_for(kImageGeneration),
            "Distribution augmentation (Jun et al. 2020): how training images are changed at "
            "random, which the model is told.");
    v.field("classes", classes, between(0, 65535).only_for(kImageClassification),
            "Number of classes. 0: from the data set.");
    v.field("resize", resize, between(1, 8192).unit("pixels").only_for(kImageClassification),
            "Evaluation: the shorter side of a picture, before `image_size` is cut from the "
            "middle.");
    v.section("crop", crop, "Training: the part of a picture that is shown (RandomResizedCrop).",
              {.tasks = kImageClassification});
    v.field("flip", flip, between(0, 1).only_for(kImageClassification),
            "Training: how often a picture is mirrored.");
    v.section("rand_augment", rand_augment,
              "Training: operations on colours and shape (Cubuk et al. 2020).",
              {.tasks = kImageClassification});
    v.section("erasing", erasing, "Training: random erasing (Zhong et al. 2017).",
              {.tasks = kImageClassification});
    v.section("mixing", mixing, "Training: pairs of pictures are mixed, and their labels.",
              {.tasks = kImageClassification});
    v.field("on_bad_image", on_bad_image, anything().only_for(kImageClassification),
            "A picture that cannot be read, in training. error: the run ends. skip: the next one "
            "takes its place, and a warning names it. Evaluation always ends there.");
    v.field("workers", workers, between(0, 1024).zero_is("auto").only_for(kImages),
            "Threads that read pictures ahead. The pictures do not depend on how many. auto: as "
            "many as this process may use processors, at most 16.");
  }
  bool operator==(const DataConfig&) const = default;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adam;
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.9;  // sgd

  template <class V>
  void fields(V& v) {
    v.field("kind", kind, anything(),
            "adam adds weight decay to the gradient, adamw to the weights.");
    v.field("lr", lr, at_least(0), "Learning rate at its peak, after the warm-up.");
    v.field("betas", betas, below_one().count(2),
            "adam, adamw: decay rates of the gradient's mean and mean square.");
    v.field("eps", eps, above(0), "adam, adamw: added to the denominator.");
    v.field("weight_decay", weight_decay, at_least(0), "Weight decay.");
    v.field("momentum", momentum, below_one(), "sgd: momentum.");
  }
  bool operator==(const OptimizerConfig&) const = default;
};

struct ScheduleConfig {
  int64_t warmup_steps = 0;
  double warmup_epochs = 0.0;  // 0: warmup_steps
  double warmup_lr = 0.0;
  DecayKind decay = DecayKind::cosine;
  double min_lr = 0.0;

  template <class V>
  void fields(V& v) {
    v.field("warmup_steps", warmup_steps, between(0, kMostSteps).unit("steps"),
            "Linear warm-up from `warmup_lr` to the peak.");
    v.field("warmup_epochs", warmup_epochs, between(0, kMostEpochs).unit("epochs"),
            "Length of the warm-up in passes over the training data. If not 0, it sets "
            "`warmup_steps` when the data are opened.");
    v.field("warmup_lr", warmup_lr, at_least(0),
            "Learning rate at the start of the warm-up. Step n, counted from 1, is n / "
            "warmup_steps of the way to the peak.");
    v.field("decay", decay, anything(), "How the learning rate falls after the warm-up.");
    v.field("min_lr", min_lr, at_least(0),
            "Learning rate at the last step; a lower limit for inverse_sqrt.");
  }
  bool operator==(const ScheduleConfig&) const = default;
};

struct TrainConfig {
  int64_t steps = 1000;
  double epochs = 0.0;  // 0: steps
  int64_t batch_size = 16;
  int64_t micro_batch = 0;  // 0 is written `auto`
  Precision precision = Precision::fp32;
  uint64_t seed = 1;
  double clip_norm = 0.0;  // 0: no clipping
  double label_smoothing = 0.1;
  double ema_decay = 0.0;  // 0: none
  Checkpointing activation_checkpointing = Checkpointing::none;
  bool cuda_graphs = true;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  int64_t log_every = 10;
  int64_t eval_every = 1000;        // 0: only at the end
  int64_t eval_tokens = 0;          // tokens of the valid split scored during training; 0: all
  int64_t samples = 0;              // drawn after each evaluation
  int64_t checkpoint_every = 1000;  // 0: only at the end
  int64_t keep_checkpoints = 3;
  int64_t max_skipped_steps = 10;  // consecutive non-finite steps before a rollback
  int64_t max_rollbacks = 1;       // to one checkpoint, before giving up with exit code 5

  template <class V>
  void fields(V& v) {
    v.field("steps", steps, between(1, kMostSteps).unit("steps"),
            "Optimizer steps of the whole run.");
    v.field(
        "epochs", epochs, between(0, kMostEpochs).unit("epochs"),
        "Length of the run in passes over the training data. If not 0, it sets `steps` when the "
        "data are opened, rounded to whole steps.");
    v.field("batch_size", batch_size, between(1, kMaxSize).unit("sequences"),
            "Sequences, images or graphs per step, over all ranks together.");
    v.field("micro_batch", micro_batch, between(0, kMaxSize).unit("sequences").zero_is("auto"),
            "Sequences computed at a time. Gradients are accumulated over the batch. Lower it when "
            "memory runs out. auto: the largest that takes at most half of the memory.");
    v.field("precision", precision, anything(),
            "Precision of activations and matrix products. Weights and optimizer state stay fp32.");
    v.field("seed", seed, anything(), "Seed of initial weights, data order, sampling and dropout.");
    v.field("clip_norm", clip_norm, at_least(0),
            "Largest norm of the whole gradient. 0: no clipping.");
    v.field("label_smoothing", label_smoothing, below_one().only_for(kImageClassification),
            "Share of the training target that is spread over all classes.");
    v.field("ema_decay", ema_decay, below_one(),
            "Keep an exponential moving average of the weights too, of which this part stays at "
            "each step, and evaluate that. 0: none.");
    v.field("activation_checkpointing", activation_checkpointing, anything(),
            "What the backward pass recomputes instead of storing: each block's attention half, or "
            "the whole block. Less memory, more time.");
    v.field("cuda_graphs", cuda_graphs, anything(),
            "On a GPU, capture the forward and backward pass of a step as a CUDA graph and replay "
            "it. Less time between kernels, but the memory of a step stays reserved. Not used with "
            "several ranks or an adaptive embedding.");
    v.section("optimizer", optimizer, "");
    v.section("schedule", schedule, "The learning rate over the steps.");
    v.field("log_every", log_every, between(1, kMostSteps).unit("steps"),
            "How often the training loss is logged.");
    v.field("eval_every", eval_every, between(0, kMostSteps).unit("steps"),
            "How often the valid split is scored. 0: only at the end.");
    v.field("eval_tokens", eval_tokens, between(0, 1e15).unit("tokens"),
            "How much of the valid split is scored during training. 0: all of it.");
    v.field("samples", samples, between(0, 1024).unit("images").only_for(kImages),
            "Pictures after each evaluation, side by side in `samples/step-N.png` of the run "
            "folder. image_generation: drawn, always with the same random numbers. "
            "image_classification: training pictures as the model sees them. 0: none.");
    v.field("checkpoint_every", checkpoint_every, between(0, kMostSteps).unit("steps"),
            "How often a checkpoint is saved. 0: only at the end.");
    v.field("keep_checkpoints", keep_checkpoints, between(1, 1e6),
            "How many of the newest checkpoints stay in the run folder.");
    v.field("max_skipped_steps", max_skipped_steps, between(0, kMostSteps).unit("steps"),
            "Consecutive steps with a non-finite loss or gradient before the run rolls back to its "
            "last checkpoint.");
    v.field("max_rollbacks", max_rollbacks, between(0, 1e6),
            "How often a run may roll back to the same checkpoint before it gives up (exit code "
            "5). Each time it skips the data that it diverged on.");
  }
  bool operator==(const TrainConfig&) const = default;
};

/// Training on many processes (ranks).
struct DistributedConfig {
  int64_t bucket_mib = 25;
  ReducePrecision reduce_precision = ReducePrecision::fp32;
  bool overlap = true;
  bool shard_optimizer = false;
  double timeout_seconds = 600;

  template <class V>
  void fields(V& v) {
    v.field("bucket_mib", bucket_mib, between(1, 65536).unit("MiB"),
            "Gradients are summed over the ranks in buckets of about this size.");
    v.field(
        "reduce_precision", reduce_precision, anything(),
        "Precision in which gradients are sent and summed. bf16 halves the traffic, but rounds.");
    v.field(
        "overlap", overlap, anything(),
        "Send a bucket as soon as the backward pass has filled it. false: send all buckets after "
        "the backward pass.");
    v.field("shard_optimizer", shard_optimizer, anything(),
            "Each rank keeps and updates only its share of the optimizer state (ZeRO stage 1).");
    v.field("timeout_seconds", timeout_seconds, above(0).unit("seconds"),
            "How long ranks wait for each other before the job ends with exit code 6.");
  }
  bool operator==(const DistributedConfig&) const = default;
};

struct EvalConfig {
  int64_t length = 0;  // 0: data.length
  int64_t overlap = 0;
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;
  int64_t batch_size = 0;  // sequences at a time; 0: train.micro_batch

  template <class V>
  void fields(V& v) {
    v.field("length", length, between(0, kMaxSize).unit("positions").only_for(kLanguageModels),
            "Length of the sliding window. 0: `data.length`.");
    v.field("overlap", overlap, between(0, kMaxSize).unit("positions").only_for(kLanguageModels),
            "Positions that a window shares with the one before. They are context and are not "
            "scored again. Less than the length.");
    v.field("mode", mode, anything(),
            "renorm: one dense pass. ensemble: mean prediction over sampled sub-models.");
    v.field("samples", samples, between(1, kMostSamples), "ensemble: number of sub-models.");
    v.field("batch_size", batch_size, between(0, kMaxSize).unit("sequences"),
            "Sequences at a time. 0: as `train.micro_batch`.");
  }
  bool operator==(const EvalConfig&) const = default;
};

/// The whole configuration. A config sets the keys that its task has; those of other tasks stay at
/// their defaults.
struct Config {
  TaskKind task = TaskKind::byte_lm;
  ModelConfig model;
  SsaConfig ssa;
  DataConfig data;
  TrainConfig train;
  DistributedConfig distributed;
  EvalConfig eval;

  template <class V>
  void fields(V& v) {
    v.field("task", task, required(), "What is learned.");
    v.section("model", model, "Size and structure of the transformer.");
    v.section("ssa", ssa, "Stochastically subsampled self-attention.");
    v.section("data", data, "What is trained on.");
    v.section("train", train, "How it is trained.");
    v.section("distributed", distributed, "How ranks work together. Ignored with one rank.");
    v.section("eval", eval, "How it is scored.");
  }
  bool operator==(const Config&) const = default;
};

/// The step at which +FT switches to dense attention; train.steps if it never does.
int64_t finetune_start(const Config& config);

class ConfigCheck;
/// Rules beyond the schema's own, such as a task's (tasks/load.h).
using ConfigRules = std::function<void(ConfigCheck&)>;

/// Reads a YAML file (following `include:`), applies `key=value` overrides, and checks the schema
/// and `rules`. Throws one ConfigError that lists every problem found, each with file, line and
/// key, unknown keys with the nearest valid name.
Config load_config(const std::string& path, const std::vector<std::string>& overrides = {},
                   const ConfigRules& rules = {});
/// The same for text; `origin` stands for the file name in messages.
Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides = {}, const ConfigRules& rules = {});
/// Complete YAML: every key of the task, resolved. load_config() of it gives the same Config.
std::string dump_config(const Config& config);
/// Markdown: every key with its type, default, valid values and comment (docs/reference/config.md).
std::string config_reference();

/// The dotted name of each key of the task with its value as text, in file order.
std::vector<std::pair<std::string, std::string>> flatten_config(const Config& config);

}  // namespace ssa
