// The attention of a run: the paper's short name, and in words.

#include <array>

#include <fmt/format.h>

#include "ssa/config/differences.h"
#include "ssa/core/error.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/report/report.h"
#include "ssa/tasks/task.h"

namespace ssa {

namespace {

/// The number of layers that sample.
int64_t sampled_layers(const Config& config) {
  if (config.ssa.layers > 0) return config.ssa.layers;
  if (value_of_key(config, "model.layers")) return config.model.layers;
  try {
    const auto task = make_task(config);
    const auto sampled = task->plan_specs(Sources::sampled, Use::training);
    const auto dense = task->plan_specs(Sources::all, Use::training);
    int64_t layers = 0;
    for (size_t i = 0; i < sampled.size(); ++i) {
      layers += sampled_fraction(sampled[i]) < sampled_fraction(dense.at(i)) ? 1 : 0;
    }
    return layers;
  } catch (const ConfigError&) {  // there are no plans, which the page says elsewhere
    return 0;
  }
}

/// The layers that could sample; 0: not known.
int64_t all_layers(const Config& config) {
  if (value_of_key(config, "model.layers")) return config.model.layers;
  int64_t layers = 0;
  for (const int64_t depth : config.model.swin.depths) layers += depth;
  return layers;
}

/// Small numbers as words.
std::string in_words(int64_t number) {
  constexpr std::array kWords = {"no",    "one",   "two",  "three", "four",   "five",  "six",
                                 "seven", "eight", "nine", "ten",   "eleven", "twelve"};
  const bool small = number >= 0 && number < static_cast<int64_t>(kWords.size());
  return small ? kWords[static_cast<size_t>(number)] : std::to_string(number);
}

/// "the last six of 16 layers", "all six layers"
std::string layers_in_words(int64_t sampled, int64_t all) {
  if (sampled == 1 && all == 1) return "the only layer";
  if (sampled == all) return fmt::format("all {} layers", in_words(all));
  if (sampled == 1) return fmt::format("the last of {} layers", in_words(all));
  return fmt::format("the last {} of {} layers", in_words(sampled), in_words(all));
}

/// "σ 0.25", "σ 0.02 to 0.1"
std::string sigma_in_words(const SigmaConfig& sigma) {
  if (sigma.first == sigma.last) return fmt::format("σ {:.4g}", sigma.first);
  return fmt::format("σ {:.4g} to {:.4g}", sigma.first, sigma.last);
}

std::string sampling_in_words(const Config& config) {
  const SsaConfig& ssa = config.ssa;
  if (ssa.kind == SsaKind::unbiased) {
    return fmt::format("{:.4g}% of the sources dropped at random", 100 * ssa.drop);
  }
  const char* what = "local windows";
  if (config.task == TaskKind::image_generation) what = "local bands of rows";
  if (config.task == TaskKind::image_classification) what = "local squares in each window";
  std::string text = fmt::format("{} {}", in_words(ssa.windows), what);
  if (ssa.windows == 1) text.pop_back();
  return text + ", " + sigma_in_words(ssa.sigma);
}

}  // namespace

std::string scheme_name(const Config& config) {
  const SsaConfig& ssa = config.ssa;
  const auto window = value_of_key(config, "model.swin.window");
  const std::string prefix = window ? fmt::format("W{}-", *window) : std::string();
  if (ssa.kind == SsaKind::none) return prefix + "S0";
  std::string text = fmt::format("{}S{}-", prefix, sampled_layers(config));
  text += ssa.kind == SsaKind::local ? fmt::format("L{}", ssa.windows)
                                     : fmt::format("U{:.4g}", 100 * ssa.drop);
  if (finetune_start(config) < config.train.steps) text += "+FT";
  return text;
}

std::string scheme_in_words(const Config& config) {
  if (config.ssa.kind == SsaKind::none) return "dense attention in all layers";
  std::string text =
      fmt::format("{}, {}", layers_in_words(sampled_layers(config), all_layers(config)),
                  sampling_in_words(config));
  if (finetune_start(config) < config.train.steps) {
    text +=
        fmt::format("; dense in the last {:.3g}% of the steps", 100 * config.ssa.finetune_fraction);
  }
  return text;
}

}  // namespace ssa
