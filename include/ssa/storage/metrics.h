#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ssa/storage/file_io.h"

namespace ssa {

/// One line of metrics.jsonl. Fields that are not set are left out. Numbers that are not finite are
/// written as null and read back as NaN.
struct MetricsEvent {
  int64_t step = 0;
  std::string split = "train";      ///< train, valid or test
  std::optional<double> loss;       ///< nats
  std::optional<double> mean_loss;  ///< of training: over the steps since the last line
  /// The task's metric by its key (bits_per_byte, perplexity, bits_per_dim, top1, mae), and other
  /// numbers that are plotted.
  std::vector<std::pair<std::string, double>> metrics;
  std::optional<double> lr;
  std::optional<double> grad_norm;
  std::optional<int64_t> tokens;  ///< trained on so far
  std::optional<double> tokens_per_second;
  std::optional<double> elapsed_seconds;  ///< of training, before and after resumes
  std::optional<int64_t> peak_memory_bytes;
  std::optional<double> data_wait_seconds;  ///< that steps waited for data since the last line
  // By layer, with train.log_norms: of the gradient before clipping, and of the weights.
  std::vector<std::pair<std::string, double>> gradient_norms = {};
  std::vector<std::pair<std::string, double>> parameter_norms = {};

  bool operator==(const MetricsEvent&) const = default;
};

/// The event as one line of JSON, without the newline.
std::string to_json_line(const MetricsEvent& event);

/// All numbers of an event except the step, by name, in the order of the line. Those of layers are
/// called "gradient_norms/blocks.0".
std::vector<std::pair<std::string, double>> numbers(const MetricsEvent& event);

/// Appends events to metrics.jsonl, one write per event, so that readers see whole lines.
class MetricsWriter {
 public:
  /// First removes lines that are not events or whose step is above `last_step`, so that a run
  /// resumed at that step continues the file as if it had never stopped. -1: a new run. All
  /// functions throw CheckpointError for I/O errors.
  MetricsWriter(const std::string& path, int64_t last_step);
  void write(const MetricsEvent& event);
  /// Returns when the lines are on the disk. Call it before a checkpoint is saved.
  void sync() { file_.sync(); }

 private:
  OutputFile file_;
  bool torn_ = false;  // the last line may be incomplete
};

/// Calls `visit` for each event of a file, in its order, without holding the file in memory. Lines
/// that are not events, such as an incomplete last line, are skipped, as is what is longer than a
/// MiB. Throws CheckpointError if the file cannot be read.
void visit_metrics(const std::string& path, const std::function<void(const MetricsEvent&)>& visit);

/// All events of a file, as visit_metrics() visits them.
std::vector<MetricsEvent> read_metrics(const std::string& path);

/// The event of a split at which a number, given by its key in the line, is best; of equal ones the
/// first. Null if no event of the split has a finite one.
template <std::derived_from<MetricsEvent> Event>
const Event* best_event(const std::vector<Event>& events, std::string_view split,
                        std::string_view key, bool higher_is_better) {
  const Event* best = nullptr;
  double best_value = 0;
  for (const Event& event : events) {
    if (event.split != split) continue;
    for (const auto& [name, value] : numbers(event)) {
      if (name != key || !std::isfinite(value)) continue;
      if (best && (higher_is_better ? value <= best_value : value >= best_value)) continue;
      best = &event;
      best_value = value;
    }
  }
  return best;
}

}  // namespace ssa
