// Loads a config with the files that it includes ("=== NAME"), and overrides ("=== --set", one a
// line).

#include "ssa/config/config.h"

#include "ssa/config/differences.h"
#include "ssa/core/error.h"

#include "config/load_from.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

constexpr const char* kMain = "main.yaml";
constexpr const char* kOverrides = "--set";

void check_round_trip(const Config& config) {
  const std::string text = dump_config(config);
  const Config again = parse_config(text, "dump");
  require(again == config, "a dumped config gives the same config");
  require(dump_config(again) == text, "a dump has one form");
  require(config_differences(config, again).empty(), "a config does not differ from itself");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Parts parts = parts_of(text_of(data, size), kMain);
  const auto read = [&](const std::filesystem::path& path) -> FileText {
    const auto part = parts.find(path.string());
    if (part == parts.end()) return {{}, "cannot be read: it is not there"};
    return {part->second, {}};
  };
  const auto overrides = parts.find(kOverrides);
  const auto config = parsed<ConfigError>([&] {
    return load_config_from(
        read, kMain,
        overrides == parts.end() ? std::vector<std::string>() : lines_of(overrides->second));
  });
  if (config) check_round_trip(*config);
  return 0;
}
