#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/field.h"
#include "ssa/config/limits.h"
#include "ssa/config/task_kind.h"

namespace ssa {

// The section `train`.

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
            "Learning rate that linear and cosine come to in the step after the last one; a lower "
            "limit for inverse_sqrt.");
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
  std::string init_from;
  std::vector<std::string> init_skip;
  Checkpointing activation_checkpointing = Checkpointing::none;
  bool cuda_graphs = true;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  int64_t log_every = 10;
  int64_t eval_every = 1000;  // 0: only at the end
  int64_t eval_tokens = 0;    // tokens of the valid split scored during training; 0: all
  bool evaluate_first = false;
  int64_t patience = 0;  // evaluations; 0: never stops early
  int64_t samples = 0;   // drawn after each evaluation
  int64_t sample_length = 256;
  std::string sample_prompt;
  bool log_norms = false;
  int64_t checkpoint_every = 1000;  // 0: only at the end
  int64_t keep_checkpoints = 3;
  bool keep_best = false;
  int64_t keep_every = 0;          // 0: none
  double max_hours = 0.0;          // 0: no limit
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
    v.field(
        "init_from", init_from, anything(),
        "Start from the weights of a run folder, a checkpoint or a safetensors file, with a new "
        "optimizer, at step 0. A path relative to the working directory.");
    v.field(
        "init_skip", init_skip, anything(),
        "Weights that `init_from` does not set: patterns of their names, where * stands for any "
        "characters. They get random initial values.");
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
    v.field("evaluate_first", evaluate_first, anything(),
            "Score the valid split before the first step too.");
    v.field("patience", patience, between(0, 1e6).unit("evaluations"),
            "Stop when this many evaluations in a row have not improved on the best score of the "
            "valid split. 0: never.");
    v.field("samples", samples, between(0, 1024).only_for(kSampled),
            "Samples after each evaluation, in `samples/step-N.png` or `.txt` of the run folder. "
            "Language models and image_generation: drawn, always with the same random numbers. "
            "image_classification: training pictures as the model sees them. 0: none.");
    v.field("sample_length", sample_length,
            between(1, kMaxSize).unit("tokens").only_for(kLanguageModels),
            "Length of each text of `samples`.");
    v.field(
        "sample_prompt", sample_prompt, anything().only_for(kLanguageModels),
        "What the texts of `samples` begin with. Empty: a line break or the end of a sentence.");
    v.field(
        "log_norms", log_norms, anything(),
        "Log the norms of each layer's gradient and weights too, as often as the training loss.");
    v.field("checkpoint_every", checkpoint_every, between(0, kMostSteps).unit("steps"),
            "How often a checkpoint is saved. 0: only at the end.");
    v.field("keep_checkpoints", keep_checkpoints, between(1, 1e6),
            "How many of the newest checkpoints stay in the run folder.");
    v.field("keep_best", keep_best, anything(),
            "Keep the checkpoint with the best score of the valid split too. Each evaluation then "
            "saves one if it is the best so far.");
    v.field(
        "keep_every", keep_every, between(0, kMostSteps).unit("steps"),
        "Checkpoints of steps that are multiples of this are saved and stay for good. 0: none.");
    v.field("max_hours", max_hours, at_least(0),
            "Save and stop with exit code 75 after this many hours, for queues with a time limit. "
            "0: no limit.");
    v.field("max_skipped_steps", max_skipped_steps, between(0, kMostSteps).unit("steps"),
            "Consecutive steps with a non-finite loss or gradient before the run rolls back to its "
            "last checkpoint.");
    v.field("max_rollbacks", max_rollbacks, between(0, 1e6),
            "How often a run may roll back to the same checkpoint before it gives up (exit code "
            "5). Each time it skips the data that it diverged on.");
  }
  bool operator==(const TrainConfig&) const = default;
};

}  // namespace ssa
