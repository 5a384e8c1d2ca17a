// Reads a launcher's environment: a variable per line, NAME=value.

#include "ssa/dist/launch.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::map<std::string, std::string> variables;
  for (const std::string& line : lines_of(text_of(data, size))) {
    const size_t equals = line.find('=');
    if (equals != std::string::npos) variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  const auto variable = [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  const auto info = parsed<ConfigError>([&] { return detect_launch(variable); });
  if (!info) return 0;
  require(info->rank >= 0 && (info->size == 0 || info->rank < info->size), "a rank of the job");
  require(info->local_rank >= 0 && info->local_size >= 0, "a rank of the machine");
  if (info->kind == LaunchInfo::Kind::environment) {
    require(info->size > 1 && !info->master_address.empty() && info->master_port > 0,
            "ranks know where to meet");
  }
  return 0;
}
