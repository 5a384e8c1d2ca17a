#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ssa/storage/file_io.h"
#include "ssa/storage/metrics.h"

namespace ssa {

/// Writes scalars, images, texts and hyperparameters to a TensorBoard event file. The file is a
/// sequence of TFRecords (tensorflow/ core/lib/io/record_writer.h), each an Event message
/// (tensorflow/core/util/event.proto) in protobuf's wire format. Throws CheckpointError for I/O
/// errors.
class EventWriter {
 public:
  /// Creates events.out.tfevents.<time>.<host>.<pid>.<n> in the folder `dir`. A run resumed at
  /// step `last_step` makes TensorBoard drop later steps of older files; -1 for a new run. Nothing:
  /// the file only adds to older ones.
  explicit EventWriter(const std::string& dir, std::optional<int64_t> last_step = -1);

  /// Writes one point of the curve `tag` (UTF-8). TensorBoard stores the value as a float.
  void scalar(const std::string& tag, int64_t step, double value);
  /// Writes a PNG file's content as an image under `tag`. Throws DataError for other bytes.
  void image(const std::string& tag, int64_t step, std::string_view png);
  /// Writes a text as it is, not as the Markdown that TensorBoard takes it for. Bytes that are not
  /// UTF-8 become U+FFFD.
  void text(const std::string& tag, int64_t step, std::string_view text);
  /// Writes the values of config keys for the table of hyperparameters (the plugin `hparams`), as
  /// numbers and booleans where they are some.
  void hyperparameters(const std::vector<std::pair<std::string, std::string>>& values);
  /// Tells that table that the run has succeeded.
  void finished();
  /// Writes every number of an event as "split/name", such as "train/loss".
  void write(const MetricsEvent& event);
  const std::string& path() const { return file_.path(); }

 private:
  void write_event(std::string_view fields, int64_t step);
  void write_summary(std::string_view value, int64_t step);
  void write_tensor(const std::string& tag, int64_t step, std::string_view tensor,
                    std::string_view metadata);
  OutputFile file_;
};

}  // namespace ssa
