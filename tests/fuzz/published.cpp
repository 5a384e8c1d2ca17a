// Reads any bytes as a table of published results, and looks configs up in it.

#include "ssa/report/published.h"

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

Config config_of(SsaKind kind, int64_t sampled_layers) {
  Config config;
  config.data.name = "enwik8";
  config.model.layers = 6;
  config.ssa.kind = kind;
  config.ssa.layers = sampled_layers;
  return config;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = folder() / "published.json";
  testing::write_bytes(path, text_of(data, size));
  const auto results = parsed<ConfigError>([&] { return PublishedResults::load(path); });
  if (!results) return 0;
  for (const Config& config : {config_of(SsaKind::none, 0), config_of(SsaKind::local, 0),
                               config_of(SsaKind::local, 3), config_of(SsaKind::unbiased, 6)}) {
    const auto match = results->nearest(config);
    require(!match || match->row, "a match has a row");
    require(!results->find(config) || match, "a row of the same size is the nearest");
  }
  return 0;
}
