#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ssa/dist/communicator.h"

namespace ssa {

struct AppInfo {
  std::string name;      ///< "ssa-train"
  std::string summary;   ///< one line
  std::string examples;  ///< shown at the end of --help
};

/// The main function of every program. `define` adds the program's options and returns the function
/// to call after parsing. Adds --help with examples, --version, --quiet and --log-level. Holds a
/// StopSignal while running. Prints an error as one message and returns its exit code.
int run_app(int argc, char** argv, const AppInfo& info,
            const std::function<std::function<int()>(CLI::App&)>& define);

/// Runs `body` as one of the ranks that a launcher (mpirun, srun, environment variables) started,
/// or as a single rank. All ranks must run the same program. Ranks other than 0 print only warnings
/// and errors. If `body` throws on one rank, the other ranks are told and end with exit code 6; the
/// job ends with the error's exit code. An error that rank 0 has too is printed by rank 0 only.
int run_on_ranks(const std::string& program, const std::function<int(Communicator&)>& body);

/// The config.yaml of a run folder, for --run. Throws ConfigError if there is none.
std::string config_of_run(const std::string& run);

/// Throws ConfigError if the file of an option cannot be written: it is known before a long
/// computation then. "-" and the empty path are none; what is no regular file is not tried.
void check_result_path(std::string_view option, const std::string& path);

/// Writes a result to the file that the command line names, atomically. A signal ends the program
/// while it waits for the reader of a pipe. Throws ConfigError if the file cannot be written.
void write_result(const std::string& path, std::string_view text);

/// Writes JSON for --json: like write_result(), or to standard output for "-".
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace ssa
