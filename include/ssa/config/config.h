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
#include "ssa/config/limits.h"
#include "ssa/config/model_config.h"
#include "ssa/config/picture_recipe.h"
#include "ssa/config/task_kind.h"
#include "ssa/config/train_config.h"

namespace ssa {

// The whole configuration: plain structs whose member initialisers are the defaults. Each struct
// has one fields() function, which names every key with its comment and its valid values; loading,
// dumping, overriding, help and validation all walk it (see field.h). Rules that tie several keys
// together are in src/config/validate.cpp, those of one task in the task (Task::check).
// docs/reference/config.md is made from this file.

enum class OnBadImage { error, skip };
constexpr auto choices(OnBadImage) { return std::to_array<std::string_view>({"error", "skip"}); }
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
enum class ReducePrecision { fp32, bf16 };
constexpr auto choices(ReducePrecision) {
  return std::to_array<std::string_view>({"fp32", "bf16"});
}
enum class EvalMode { renorm, ensemble };
constexpr auto choices(EvalMode) { return std::to_array<std::string_view>({"renorm", "ensemble"}); }
enum class EvalWeights { average, trained };
constexpr auto choices(EvalWeights) {
  return std::to_array<std::string_view>({"average", "trained"});
}

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
            "word_lm and token_lm: size of the vocabulary. 0: the data set's own. Where no data "
            "are opened: the "
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
  EvalWeights weights = EvalWeights::average;

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
    v.field("weights", weights, anything(),
            "Which weights are scored where the run has `train.ema_decay`. average: their moving "
            "average. trained: those of the last step.");
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
