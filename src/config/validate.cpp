#include "config/validate.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>

#include <fmt/format.h>

#include "ssa/core/valid_neighbours.h"

namespace ssa {

int64_t configured_vocabulary(const Config& config) {
  if (config.task == TaskKind::byte_lm) return 256;
  if (config.task != TaskKind::word_lm) return 0;
  if (config.data.vocabulary > 0) return config.data.vocabulary;
  if (config.data.name == "wikitext103") return 267735;  // Merity et al. 2017
  if (config.data.name == "wikitext2") return 33278;
  return 0;
}

namespace {

class Validator {
 public:
  Validator(const Config& config, const Origins& origins, const std::string& file,
            Problems& problems)
      : config_(config), origins_(origins), file_(file), problems_(problems) {}

  void check_all() {
    check_model();
    check_embedding();
    check_vocabulary();
    check_ssa();
    check_windows("data.length", config_.data.length);
    if (config_.eval.length > 0) check_windows("eval.length", config_.eval.length);
    check_batch();
    check_schedule();
    check_eval();
  }

 private:
  using Keys = std::initializer_list<std::string_view>;

  bool usable(Keys keys) const {
    return std::none_of(keys.begin(), keys.end(),
                        [&](std::string_view key) { return problems_.has(key); });
  }

  /// Blames the key that was set last, by the command line before a file before what it includes;
  /// the first of `keys` where several were set together.
  void fail(Keys keys, const std::string& message) {
    std::string_view blamed = *keys.begin();
    Origin origin{file_, 0, 0};
    for (const std::string_view key : keys) {
      const auto set = origins_.find(key);
      if (set != origins_.end() && set->second.layer > origin.layer) {
        origin = set->second;
        blamed = key;
      }
    }
    problems_.add(origin, blamed, message);
  }

  bool is_language_model() const {
    return config_.task == TaskKind::byte_lm || config_.task == TaskKind::word_lm;
  }

  void check_model() {
    const ModelConfig& model = config_.model;
    if (usable({"model.width", "model.heads"}) && model.width % model.heads != 0) {
      fail({"model.heads", "model.width"},
           fmt::format("model.heads {} does not divide model.width {}; nearest valid heads: {}; "
                       "nearest valid widths: {}",
                       model.heads, model.width, nearest_divisors(model.width, model.heads),
                       nearest_multiples(model.heads, model.width)));
    }
    if (usable({"task", "model.position"}) && is_language_model() &&
        model.position == PositionKind::relative_2d) {
      fail({"model.position", "task"},
           fmt::format("relative_2d is for images; task {} takes alibi or none",
                       name(config_.task)));
    }
  }

  void check_embedding() {
    const EmbeddingConfig& embedding = config_.model.embedding;
    if (embedding.kind != EmbeddingKind::adaptive) return;
    const std::vector<int64_t>& cutoffs = embedding.cutoffs;
    if (!usable({"model.embedding.cutoffs"})) return;
    if (cutoffs.empty()) {
      fail({"model.embedding.cutoffs", "model.embedding.kind"},
           "an adaptive embedding needs model.embedding.cutoffs, as in [20000, 60000]");
      return;
    }
    const auto disorder =
        std::adjacent_find(cutoffs.begin(), cutoffs.end(), std::greater_equal<>());
    if (disorder != cutoffs.end()) {
      fail({"model.embedding.cutoffs"},
           fmt::format("must ascend, but {} is followed by {}", *disorder, *(disorder + 1)));
    }
    if (!usable({"model.embedding.factor", "model.width"})) return;
    int64_t band_width = config_.model.width;
    for (size_t band = 1; band <= cutoffs.size() && band_width > 0; ++band) {
      band_width /= embedding.factor;
    }
    if (band_width == 0) {
      fail({"model.embedding.factor", "model.embedding.cutoffs", "model.width"},
           fmt::format("model.width {} cannot be divided by factor {} for each of the {} cutoffs: "
                       "the last band would have width 0; lower model.embedding.factor",
                       config_.model.width, embedding.factor, cutoffs.size()));
    }
  }

  void check_vocabulary() {
    if (!usable({"task", "data.vocabulary"})) return;
    const int64_t tokens = configured_vocabulary(config_);
    const int64_t given = config_.data.vocabulary;
    if (config_.task == TaskKind::byte_lm && given != 0 && given != tokens) {
      fail({"data.vocabulary", "task"},
           fmt::format("task byte_lm has {} tokens, not {}; leave data.vocabulary at 0", tokens,
                       given));
    }
    const EmbeddingConfig& embedding = config_.model.embedding;
    if (embedding.kind != EmbeddingKind::adaptive || tokens == 0 || embedding.cutoffs.empty()) {
      return;
    }
    if (!usable({"model.embedding.cutoffs"}) || embedding.cutoffs.back() < tokens) return;
    fail({"model.embedding.cutoffs", "model.embedding.kind", "data.vocabulary", "data.name"},
         fmt::format("the last cutoff, {}, must be below the vocabulary's {} tokens, or the last "
                     "band is empty",
                     embedding.cutoffs.back(), tokens));
  }

  void check_ssa() {
    const SsaConfig& ssa = config_.ssa;
    if (usable({"ssa.layers", "model.layers"}) && ssa.layers > config_.model.layers) {
      fail({"ssa.layers", "model.layers"},
           fmt::format("ssa.layers {} is more than model.layers {}; valid: 0 (all) to {}",
                       ssa.layers, config_.model.layers, config_.model.layers));
    }
    if (ssa.kind == SsaKind::unbiased && is_language_model() &&
        usable({"ssa.kind", "ssa.drop", "data.length"})) {
      const auto length = static_cast<double>(config_.data.length);
      if (std::round((1.0 - ssa.drop) * length) < 1.0) {
        fail({"ssa.drop", "data.length"},
             fmt::format("ssa.drop {} leaves no source of data.length {}; valid: at most {:.6g}",
                         ssa.drop, config_.data.length, 1.0 - 1.0 / length));
      }
    }
  }

  void check_windows(std::string_view key, int64_t length) {
    if (config_.ssa.kind != SsaKind::local || !is_language_model()) return;
    if (!usable({"task", "ssa.kind", "ssa.windows", key})) return;
    const int64_t windows = config_.ssa.windows;
    if (length % windows == 0) return;
    fail({"ssa.windows", key, "ssa.kind"},
         fmt::format("ssa.windows {} does not divide {} {}; nearest valid windows: {}; nearest "
                     "valid lengths: {}",
                     windows, key, length, nearest_divisors(length, windows),
                     nearest_multiples(windows, length)));
  }

  void check_batch() {
    const TrainConfig& train = config_.train;
    if (!usable({"train.batch_size", "train.micro_batch"}) || train.micro_batch == 0) return;
    if (train.batch_size % train.micro_batch == 0) return;
    fail({"train.micro_batch", "train.batch_size"},
         fmt::format("train.micro_batch {} does not divide train.batch_size {}; nearest valid "
                     "micro_batch: {} (or auto); nearest valid batch_size: {}",
                     train.micro_batch, train.batch_size,
                     nearest_divisors(train.batch_size, train.micro_batch),
                     nearest_multiples(train.micro_batch, train.batch_size)));
  }

  void check_schedule() {
    const TrainConfig& train = config_.train;
    const ScheduleConfig& schedule = train.schedule;
    const bool in_steps = train.epochs == 0 && schedule.warmup_epochs == 0;
    if (in_steps && usable({"train.schedule.warmup_steps", "train.steps"}) &&
        schedule.warmup_steps > train.steps) {
      fail({"train.schedule.warmup_steps", "train.steps"},
           fmt::format("train.schedule.warmup_steps {} is more than train.steps {}; valid: 0 to {}",
                       schedule.warmup_steps, train.steps, train.steps));
    }
    check_not_above_peak("train.schedule.min_lr", schedule.min_lr);
    check_not_above_peak("train.schedule.warmup_lr", schedule.warmup_lr);
  }

  void check_not_above_peak(std::string_view key, double rate) {
    const double peak = config_.train.optimizer.lr;
    if (!usable({key, "train.optimizer.lr"}) || rate <= peak) return;
    fail({key, "train.optimizer.lr"},
         fmt::format("{} {} is above the peak, train.optimizer.lr {}; valid: 0 to {}", key, rate,
                     peak, peak));
  }

  void check_eval() {
    if (!usable({"eval.length", "eval.overlap", "data.length"})) return;
    const bool own = config_.eval.length > 0;
    const int64_t length = own ? config_.eval.length : config_.data.length;
    if (config_.eval.overlap < length) return;
    const std::string_view key = own ? "eval.length" : "data.length";
    fail({"eval.overlap", key},
         fmt::format("eval.overlap {} must be less than {} {}; valid: 0 to {}",
                     config_.eval.overlap, key, length, length - 1));
  }

  const Config& config_;
  const Origins& origins_;
  const std::string& file_;
  Problems& problems_;
};

}  // namespace

void validate_config(const Config& config, const Origins& origins, const std::string& file,
                     Problems& problems) {
  Validator(config, origins, file, problems).check_all();
}

}  // namespace ssa
