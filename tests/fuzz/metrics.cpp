// Reads any bytes as a metrics.jsonl, continues the file and writes its events again.

#include "ssa/storage/metrics.h"

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

std::vector<std::string> lines_in(const std::string& path) {
  std::vector<std::string> lines;
  for (const MetricsEvent& event : read_metrics(path)) lines.push_back(to_json_line(event));
  return lines;
}

/// What is left of a file that a run continues after `last_step`.
std::vector<std::string> lines_until(const std::vector<MetricsEvent>& events, int64_t last_step) {
  std::vector<std::string> lines;
  for (const MetricsEvent& event : events) {
    if (event.step <= last_step) lines.push_back(to_json_line(event));
  }
  return lines;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kLastStep = 7;
  const std::string path = folder() / "metrics.jsonl", copy = folder() / "copy.jsonl";
  testing::write_bytes(path, text_of(data, size));
  testing::write_bytes(copy, "");
  const std::vector<MetricsEvent> events = read_metrics(path);
  MetricsWriter written(copy, -1);
  for (const MetricsEvent& event : events) {
    written.write(event);
    numbers(event);
  }
  require(lines_in(copy) == lines_in(path), "events survive a round trip");
  const MetricsWriter continued(path, kLastStep);
  require(lines_in(path) == lines_until(events, kLastStep), "later events are removed");
  return 0;
}
