#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ssa/dist/communicator.h"

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

/// Runs `body` as one of the ranks that a launcher (mpirun, srun, environment variables) started,
/// alone without one. Only rank 0 logs to the terminal below warnings. If `body` throws on one of
/// several ranks, the others learn of it and do not wait, and the whole job ends with the error's
/// exit code, theirs being 6; an error that rank 0 has too is printed by rank 0 alone.
int run_on_ranks(const std::string& program, const std::function<int(Communicator&)>& body);

/// Writes JSON for --json: to a file, atomically, or to standard output for "-". Throws ConfigError
/// if the file cannot be written.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace ssa
