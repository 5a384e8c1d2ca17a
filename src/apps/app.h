#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace ssa {

struct AppInfo {
  std::string name;           ///< "ssa-train"
  std::string summary;        ///< one line
  std::string examples;       ///< shown at the end of --help
  bool stops_cleanly = true;  ///< checks StopSignal; false: signals end the program as usual
};

/// What every program shares: `define` adds the program's own options and returns what to run once
/// they are parsed; --help with examples, --version, --quiet, --log-level; errors as one message on
/// standard error and their exit code; StopSignal while running. Returns the exit code.
int run_app(int argc, char** argv, const AppInfo& info,
            const std::function<std::function<int()>(CLI::App&)>& define);

/// Writes JSON for --json: to a file, atomically, or to standard output for "-". Throws ConfigError
/// if the file cannot be written.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace ssa
