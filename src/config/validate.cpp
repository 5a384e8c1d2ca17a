#include "config/validate.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "ssa/config/eval_length.h"
#include "ssa/core/valid_neighbours.h"

namespace ssa {

namespace {

void check_heads(ConfigCheck& check) {
  const ModelConfig& model = check.config().model;
  if (!check.usable({"model.width", "model.heads"}) || model.width % model.heads == 0) return;
  check.fail({"model.heads", "model.width"},
             fmt::format("model.heads {} does not divide model.width {}; nearest valid heads: {}; "
                         "nearest valid widths: {}",
                         model.heads, model.width, nearest_divisors(model.width, model.heads),
                         nearest_multiples(model.heads, model.width)));
}

void check_cutoffs(ConfigCheck& check) {
  const EmbeddingConfig& embedding = check.config().model.embedding;
  const std::vector<int64_t>& cutoffs = embedding.cutoffs;
  if (embedding.kind != EmbeddingKind::adaptive) return;
  if (!check.usable({"model.embedding.kind", "model.embedding.cutoffs"})) return;
  if (cutoffs.empty()) {
    check.fail({"model.embedding.cutoffs", "model.embedding.kind"},
               "an adaptive embedding needs model.embedding.cutoffs, as in [20000, 60000]");
  }
  const auto disorder = std::adjacent_find(cutoffs.begin(), cutoffs.end(), std::greater_equal<>());
  if (disorder != cutoffs.end()) {
    check.fail({"model.embedding.cutoffs"},
               fmt::format("must ascend, but {} is followed by {}", *disorder, *(disorder + 1)));
  }
}

void check_band_widths(ConfigCheck& check) {
  const ModelConfig& model = check.config().model;
  const EmbeddingConfig& embedding = model.embedding;
  if (embedding.kind != EmbeddingKind::adaptive) return;
  if (!check.usable({"model.embedding.cutoffs", "model.embedding.factor", "model.width"})) return;
  int64_t band_width = model.width;
  for (size_t band = 1; band <= embedding.cutoffs.size() && band_width > 0; ++band) {
    band_width /= embedding.factor;
  }
  if (band_width > 0) return;
  check.fail(
      {"model.embedding.factor", "model.embedding.cutoffs", "model.width"},
      fmt::format("model.width {} cannot be divided by factor {} for each of the {} cutoffs: "
                  "the last band would have width 0; lower model.embedding.factor",
                  model.width, embedding.factor, embedding.cutoffs.size()));
}

void check_sampled_layers(ConfigCheck& check) {
  const int64_t sampled = check.config().ssa.layers, layers = check.config().model.layers;
  if (!check.usable({"ssa.layers", "model.layers"}) || sampled <= layers) return;
  check.fail({"ssa.layers", "model.layers"},
             fmt::format("ssa.layers {} is more than model.layers {}; valid: 0 (all) to {}",
                         sampled, layers, layers));
}

void check_micro_batch(ConfigCheck& check) {
  const int64_t batch = check.config().train.batch_size, micro = check.config().train.micro_batch;
  if (!check.usable({"train.batch_size", "train.micro_batch"}) || micro == 0) return;
  if (batch % micro == 0) return;
  check.fail(
      {"train.micro_batch", "train.batch_size"},
      fmt::format("train.micro_batch {} does not divide train.batch_size {}; nearest valid "
                  "micro_batch: {} (or auto); nearest valid batch_size: {}",
                  micro, batch, nearest_divisors(batch, micro), nearest_multiples(micro, batch)));
}

void check_not_above_peak(ConfigCheck& check, std::string_view key, double rate) {
  const double peak = check.config().train.optimizer.lr;
  if (!check.usable({key, "train.optimizer.lr"}) || rate <= peak) return;
  check.fail({key, "train.optimizer.lr"},
             fmt::format("{} {} is above the peak, train.optimizer.lr {}; valid: 0 to {}", key,
                         rate, peak, peak));
}

void check_schedule(ConfigCheck& check) {
  const TrainConfig& train = check.config().train;
  const ScheduleConfig& schedule = train.schedule;
  const bool in_steps = train.epochs == 0 && schedule.warmup_epochs == 0;
  if (in_steps && check.usable({"train.schedule.warmup_steps", "train.steps"}) &&
      schedule.warmup_steps > train.steps) {
    check.fail(
        {"train.schedule.warmup_steps", "train.steps"},
        fmt::format("train.schedule.warmup_steps {} is more than train.steps {}; valid: 0 to {}",
                    schedule.warmup_steps, train.steps, train.steps));
  }
  check_not_above_peak(check, "train.schedule.min_lr", schedule.min_lr);
  check_not_above_peak(check, "train.schedule.warmup_lr", schedule.warmup_lr);
}

void check_overlap(ConfigCheck& check) {
  if (!check.usable({"eval.length", "eval.overlap", "data.length"})) return;
  const int64_t overlap = check.config().eval.overlap;
  const EvalLength length = eval_length(check.config());
  if (overlap < length.tokens) return;
  check.fail({"eval.overlap", length.key},
             fmt::format("eval.overlap {} must be less than {} {}; valid: 0 to {}", overlap,
                         length.key, length.tokens, length.tokens - 1));
}

}  // namespace

void validate_config(ConfigCheck& check) {
  check_heads(check);
  check_cutoffs(check);
  check_band_widths(check);
  check_sampled_layers(check);
  check_micro_batch(check);
  check_schedule(check);
  check_overlap(check);
}

}  // namespace ssa
