#include "apps/app.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>

#include <fcntl.h>
#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include "ssa/backend/backend.h"
#include "ssa/core/edit_distance.h"
#include "ssa/core/error.h"
#include "ssa/core/out_of_memory.h"
#include "ssa/core/system_limits.h"
#include "ssa/core/version.h"
#include "ssa/dist/agreement.h"
#include "ssa/dist/launch.h"
#include "ssa/storage/file_io.h"
#include "ssa/train/log_file.h"
#include "ssa/train/stop_signal.h"

#include "apps/early_config.h"

namespace ssa {

namespace {

constexpr int kUnexpected = 1;  // exit code of exceptions that are not ssa::Error

struct CommonOptions {
  bool quiet = false;
  std::string log_level = "info";
};

int report_error(const std::string& program, const char* message) {
  std::cerr << program << ": error: " << message << '\n';
  return kUnexpected;
}

/// Before all other objects of the program are made, which takes memory and time.
[[gnu::constructor(101)]] void watch_memory_and_signals() {
  end_with_message_without_memory();
  StopSignal::end_program_meanwhile();
}

/// A log whose reader is gone, or a file at its size limit, must not kill a run: writing then
/// fails, and whoever writes results notices.
void ignore_signals_of_writing() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

/// A program may be started with standard streams closed (`2>&-`). The next file that it opens
/// would take such a number, and get what is meant for the terminal written into it.
void open_standard_streams() {
  int opened = 0;
  do opened = ::open("/dev/null", O_RDWR);
  while (opened >= 0 && opened <= STDERR_FILENO);
  if (opened >= 0) ::close(opened);
}

/// More threads than a control group's quota allows only wait for each other. OpenMP itself heeds
/// `taskset`, but no quota.
void bound_threads() {
  if (std::getenv("OMP_NUM_THREADS")) return;
  const auto most = static_cast<int>(usable_processors());
  if (most < omp_get_max_threads()) omp_set_num_threads(most);
}

/// The exit code, once it is clear that the results have reached standard output.
int after_output(const std::string& program, int code) {
  std::cout.flush();
  if (std::cout || code != 0) return code;
  report_error(program, "standard output: not everything could be written to it");
  return static_cast<int>(ExitCode::usage);
}

/// The option whose name is nearest to an unknown one; empty if none is near.
std::string nearest_option(const CLI::App& parsed, std::string_view given) {
  std::vector<const CLI::App*> parts = {&parsed};
  std::ranges::copy(parsed.get_subcommands(), std::back_inserter(parts));
  size_t nearest = edits_of_another_word(given.size());
  std::string meant;
  for (const CLI::App* part : parts) {
    for (const CLI::Option* option : part->get_options()) {
      if (option->get_lnames().empty()) continue;
      const std::string& name = option->get_lnames().front();
      const size_t distance = edit_distance(given, name, nearest);
      if (distance < nearest) nearest = distance, meant = "--" + name;
    }
  }
  return meant;
}

/// "unknown option --sample; did you mean --samples?"; CLI11's own words where no option is
/// unknown. One that is required may be missing because of a slip.
std::string message_of(const CLI::App& parsed, const CLI::Error& error) {
  const bool may_be_unknown = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                              dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const std::vector<std::string> left =
      may_be_unknown ? parsed.remaining(true) : std::vector<std::string>();
  const auto unknown = std::ranges::find_if(left, [](const std::string& argument) {
    return argument.size() > 2 && argument.starts_with("--") && argument[2] != '=';
  });
  if (unknown == left.end()) return error.what();
  const std::string given = unknown->substr(0, unknown->find('='));
  const std::string meant = nearest_option(parsed, std::string_view(given).substr(2));
  return fmt::format("unknown option {}{}", given,
                     meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
}

int parse_and_run(int argc, char** argv, const AppInfo& info,
                  const std::function<std::function<int()>(CLI::App&)>& define) {
  CLI::App app(info.summary, info.name);
  CommonOptions common;
  std::vector<std::string_view> backends;
  for (const Device device : built_devices()) backends.push_back(name(device));
  app.set_version_flag("--version",
                       fmt::format("{} {} (commit {}), backends: {}", info.name, version(),
                                   git_commit(), fmt::join(backends, ", ")));
  app.add_flag("-q,--quiet", common.quiet, "Print only warnings and errors");
  app.add_option("--log-level", common.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  const std::string examples = "Examples:\n" + info.examples;
  app.footer(examples);
  app.failure_message([&info](const CLI::App* parsed, const CLI::Error& error) {
    std::string command = info.name;
    for (const CLI::App* part : parsed->get_subcommands()) command += " " + part->get_name();
    const std::string message = message_of(*parsed, error);
    return fmt::format("{}: error: {}{} See {} --help\n", info.name, message,
                       message.ends_with('?') ? "" : ".", command);
  });
  app.fallthrough();  // common options may stand behind a subcommand
  const std::function<int()> run = define(app);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    command->footer(examples);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(error);  // prints help, version or the message
    return asked ? 0 : static_cast<int>(ExitCode::usage);
  }
  set_up_console_log(common.quiet ? "warn" : common.log_level);
  const StopSignal stop(StopSignal::Afterwards::ignored);
  return run();
}

/// Its exit code, or that of the error that it throws.
int guarded(const std::string& program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    report_error(program, error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) return report_error(program, error.what());
    report_out_of_memory(program);
    return static_cast<int>(ExitCode::usage);
  }
}

}  // namespace

int run_app(int argc, char** argv, const AppInfo& info,
            const std::function<std::function<int()>(CLI::App&)>& define) {
  open_standard_streams();
  ignore_signals_of_writing();
  bound_threads();
  const int code = after_output(
      info.name, guarded(info.name, [&] { return parse_and_run(argc, argv, info, define); }));
  program_has_ended();
  return code;
}

EarlyConfig::EarlyConfig(const std::function<Config()>& load) {
  try {
    config_ = load();
  } catch (const std::exception&) {
    error_ = std::current_exception();
  }
}

const Config& EarlyConfig::get() const {
  if (error_) std::rethrow_exception(error_);
  return config_;
}

namespace {

/// A process that could not join the others exits at once, because MPI may still wait for them.
std::unique_ptr<Communicator> join(const std::string& program, const LaunchInfo& launch,
                                   double timeout_seconds) {
  try {
    return join_ranks(launch, std::chrono::duration<double>(timeout_seconds));
  } catch (const Error& error) {
    report_error(program, error.what());
    std::_Exit(static_cast<int>(error.code()));
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    report_out_of_memory(program);
    std::_Exit(static_cast<int>(ExitCode::usage));
  }
}

/// Before anything else: programs that differ would take each other's messages for their own.
void require_same_program(Communicator& ranks, const std::string& program) {
  require_agreement(
      ranks, {{"program", fmt::format("{} {} (commit {})", program, version(), git_commit())}});
}

int join_and_run(const std::string& program, double timeout_seconds,
                 const std::function<int(Communicator&)>& body) {
  const LaunchInfo launch = detect_launch();
  if (launch.kind == LaunchInfo::Kind::single) return body(*make_single_process());
  const std::unique_ptr<Communicator> ranks = join(program, launch, timeout_seconds);
  log_as_rank(ranks->rank(), ranks->size());
  auto code = static_cast<ExitCode>(kUnexpected);
  std::string message;
  try {
    require_same_program(*ranks, program);
    return body(*ranks);
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  } catch (const std::exception& error) {
    const bool no_memory = is_out_of_memory(error);
    if (no_memory) code = ExitCode::usage;
    message = no_memory ? out_of_memory_message(error) : error.what();
  }
  // A PeerError reports another rank's failure, which that rank announces itself.
  const bool printed = code != ExitCode::peer && ranks->announce_failure(code, message);
  if (!printed) {
    const std::string who = fmt::format("{}: rank {} of {}", program, ranks->rank(), ranks->size());
    report_error(code == ExitCode::peer ? program : who, message.c_str());
  }
  ranks->abort(code);
}

}  // namespace

int run_on_ranks(const std::string& program, const std::function<int(Communicator&)>& body) {
  return join_and_run(program, DistributedConfig().timeout_seconds, body);
}

int run_on_ranks(const std::string& program, const EarlyConfig& config,
                 const std::function<int(Communicator&, const Config&)>& body) {
  return join_and_run(program, config.timeout_seconds(), [&](Communicator& ranks) {
    if (ranks.size() > 1) StopSignal::requested();  // from here on they stop together
    return body(ranks, config.get());
  });
}

std::string config_of_run(const std::string& run) {
  const std::string path = run + "/config.yaml";
  if (path_exists(path)) return path;
  throw ConfigError("{}: {}. Give the folder that ssa-train wrote to (--run-dir)", run,
                    path_exists(run) ? "this is no run folder: it holds no config.yaml"
                                     : "there is no such run folder");
}

namespace {

/// While one lives, a pipe at `path` can be opened without waiting for its reader, who is there. If
/// there is none, a signal, also an earlier one, ends the program instead of waiting with it.
class ReaderOfPipe {
 public:
  explicit ReaderOfPipe(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_fifo(path, ignored)) return;
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) StopSignal::nothing_to_save();
  }
  ~ReaderOfPipe() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  ReaderOfPipe(const ReaderOfPipe&) = delete;
  ReaderOfPipe& operator=(const ReaderOfPipe&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace

void check_result_path(std::string_view option, const std::string& path) {
  std::error_code ignored;
  const auto type = std::filesystem::status(path, ignored).type();
  using Type = std::filesystem::file_type;
  if (path.empty() || path == "-") return;
  if (type == Type::fifo || type == Type::character || type == Type::socket) return;
  try {
    const FileReplacement tried(path);  // nothing is left of it
  } catch (const CheckpointError& error) {
    throw ConfigError("{} {}: cannot be written: {}", option, path, error.what());
  }
}

void write_result(const std::string& path, std::string_view text) {
  const ReaderOfPipe reader(path);
  try {
    write_file_atomically(path, text);
  } catch (const CheckpointError& error) {
    throw ConfigError("{}: cannot be written: {}", path, error.what());
  }
}

void write_json(const std::string& path, const nlohmann::json& json) {
  using Handler = nlohmann::json::error_handler_t;  // paths may have any bytes; JSON is UTF-8
  const std::string text = json.dump(2, ' ', false, Handler::replace) + "\n";
  if (path == "-") {
    std::cout << text;
  } else {
    write_result(path, text);
  }
}

}  // namespace ssa
