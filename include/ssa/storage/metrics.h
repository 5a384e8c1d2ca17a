#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssa/storage/file_io.h"

namespace ssa {

/// One line of metrics.jsonl. What is not set is left out of the line; numbers that are not finite
/// are written as null and read back as NaN.
struct MetricsEvent {
  int64_t step = 0;
  std::string split = "train";  ///< train, valid or test
  std::optional<double> loss;   ///< nats
  /// The task's metric by its name (bits_per_byte, perplexity, bits_per_dim, top1, mae), and any
  /// other number worth a curve.
  std::vector<std::pair<std::string, double>> metrics;
  std::optional<double> lr;
  std::optional<double> grad_norm;
  std::optional<int64_t> tokens;  ///< seen in training so far
  std::optional<double> tokens_per_second;
  std::optional<double> elapsed_seconds;  ///< of training, all attempts together
  std::optional<int64_t> peak_memory_bytes;

  bool operator==(const MetricsEvent&) const = default;
};

/// The event as one line of JSON, without the newline.
std::string to_json_line(const MetricsEvent& event);

/// Every number of an event but the step, by name, in the order of the line.
std::vector<std::pair<std::string, double>> numbers(const MetricsEvent& event);

/// Appends events to metrics.jsonl, each with one write, so that readers see whole lines.
class MetricsWriter {
 public:
  /// Lines of steps above `last_step` are removed first (and whatever is no event): what a run
  /// resumed at that step appends then continues the file as if it had never stopped. Give -1 for
  /// a run that starts afresh. Throws CheckpointError for I/O errors, here and below.
  MetricsWriter(const std::string& path, int64_t last_step);
  void write(const MetricsEvent& event);
  /// Returns when the lines are on the disk: to be called before a checkpoint is saved.
  void sync() { file_.sync(); }

 private:
  OutputFile file_;
  bool torn_ = false;  // the last line may lack its end
};

/// All events of a file. Lines that are no event, such as a half-written last line, are skipped.
/// Throws CheckpointError if the file cannot be read.
std::vector<MetricsEvent> read_metrics(const std::string& path);

}  // namespace ssa
