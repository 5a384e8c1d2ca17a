// Reads a sweep's folder: sweep.json, the files of a point's run folder ("=== NAME"), and options
// --vary (lines of "=== --vary").

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/sweep/manifest.h"
#include "ssa/sweep/point_state.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

const std::vector<EvalMode> kModes = {EvalMode::renorm, EvalMode::ensemble};

void read_manifest(const std::vector<Variation>& variations) {
  SweepManifest manifest{"c.yaml", {"train.seed=1"}, variations, {"a", "b"}};
  for (const Variation& variation : variations) manifest.set.push_back(variation.key + "=1");
  accepted<CheckpointError>([&] { manifest_differences(folder().path(), manifest); });
  write_manifest(folder().path(), manifest);
  require(manifest_differences(folder().path(), manifest).empty(),
          "a manifest survives a round trip");
}

void read_point() {
  const std::string dir = folder().path();
  const Config config;
  const PointStatus status = read_point_status(dir, config, kModes);
  for (const EvalMode mode : kModes) score_of(dir, config.task, mode);
  last_lines(dir + "/metrics.jsonl", 3);
  if (!status.failure) return;
  record_failure(dir, *status.failure);
  const PointStatus again = read_point_status(dir, config, kModes);
  require(again.failure && again.failure->program == status.failure->program &&
              again.failure->code == status.failure->code,
          "a failure survives a round trip");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), "sweep.json");
  write_parts(parts, folder().path(),
              {"sweep.json", "metrics.jsonl", "sweep-failure.json", "eval-renorm-test.json",
               "eval-ensemble-test.json"});
  std::vector<Variation> variations;
  for (const std::string& line : lines_of(parts["--vary"])) {
    const auto variation = parsed<ConfigError>([&] { return parse_variation(line); });
    if (variation) variations.push_back(*variation);
  }
  read_manifest(variations);
  read_point();
  return 0;
}
