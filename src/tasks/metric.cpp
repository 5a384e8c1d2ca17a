#include "ssa/tasks/metric.h"

#include <cmath>
#include <numbers>

#include <fmt/format.h>

namespace ssa {

double bits(double nats) { return nats / std::numbers::ln2; }

namespace {

double bits_deviation(double, double deviation) { return bits(deviation); }
double perplexity(double nats) { return std::exp(nats); }
double perplexity_deviation(double nats, double deviation) { return std::exp(nats) * deviation; }
double unchanged(double loss) { return loss; }
double unchanged_deviation(double, double deviation) { return deviation; }

constexpr Metric kBitsPerByte{.key = "bits_per_byte",
                              .label = "bits/byte",
                              .name = "bits per byte",
                              .from_loss = bits,
                              .deviation = bits_deviation};
constexpr Metric kPerplexity{.key = "perplexity",
                             .label = "perplexity",
                             .name = "perplexity",
                             .decimals = 2,
                             .table_decimals = 2,
                             .label_first = true,
                             .from_loss = perplexity,
                             .deviation = perplexity_deviation};
constexpr Metric kBitsPerDim{.key = "bits_per_dim",
                             .label = "bits/dim",
                             .name = "bits per dimension",
                             .from_loss = bits,
                             .deviation = bits_deviation};
// In percent, as the literature quotes them.
constexpr Metric kTop1{.key = "top1",
                       .label = "top-1",
                       .name = "top-1 accuracy (%)",
                       .decimals = 2,
                       .table_decimals = 2,
                       .label_first = true,
                       .higher_is_better = true,
                       .scale = 100};
constexpr Metric kTop5{.key = "top5",
                       .label = "top-5",
                       .name = "top-5 accuracy (%)",
                       .decimals = 2,
                       .table_decimals = 2,
                       .label_first = true,
                       .higher_is_better = true,
                       .scale = 100};
constexpr Metric kMeanAbsoluteError{.key = "mae",
                                    .label = "MAE",
                                    .name = "mean absolute error",
                                    .table_decimals = 4,
                                    .label_first = true,
                                    .from_loss = unchanged,
                                    .deviation = unchanged_deviation};

}  // namespace

std::string Metric::text(double value) const {
  return label_first ? fmt::format("{} {:.{}f}", label, value, decimals)
                     : fmt::format("{:.{}f} {}", value, decimals, label);
}

const Metric& loss_metric() {
  static constexpr Metric kLoss{.key = "loss",
                                .label = "loss",
                                .name = "loss",
                                .from_loss = unchanged,
                                .deviation = unchanged_deviation};
  return kLoss;
}

const TaskTraits& traits_of(TaskKind kind) {
  static const TaskTraits byte_lm{
      "bytes", "tokens", "token", "sequences", " nats", {kBitsPerByte}, SampleKind::drawn_texts};
  static const TaskTraits word_lm{
      "tokens", "tokens", "token", "sequences", " nats", {kPerplexity}, SampleKind::drawn_texts};
  static const TaskTraits image_generation{"sub-pixels",
                                           "sub-pixels",
                                           "sub-pixel",
                                           "images",
                                           " nats",
                                           {kBitsPerDim},
                                           SampleKind::drawn_pictures};
  static const TaskTraits image_classification{"images",
                                               "images",
                                               "image",
                                               "images",
                                               " nats",
                                               {kTop1, kTop5},
                                               SampleKind::training_pictures};
  static const TaskTraits graph_regression{"graphs", "graphs", "graph",
                                           "graphs", "",       {kMeanAbsoluteError}};
  switch (kind) {
    case TaskKind::byte_lm:
      return byte_lm;
    case TaskKind::word_lm:
    case TaskKind::token_lm:
      return word_lm;
    case TaskKind::image_generation:
      return image_generation;
    case TaskKind::image_classification:
      return image_classification;
    case TaskKind::graph_regression:
      break;
  }
  return graph_regression;
}

}  // namespace ssa
