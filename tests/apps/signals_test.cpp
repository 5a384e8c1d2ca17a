#include <chrono>
#include <csignal>
#include <memory>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kSteps = 1000;  // about a second: long enough to be stopped in the middle
const std::vector<std::string> kLong = {"--quiet", "--set", "train.steps=1000",
                                        "train.eval_every=0", "train.checkpoint_every=0"};

/// ssa-train in the folder `shell`, started by bash at the end of `line`, which ends with `exec`.
std::unique_ptr<Child> train_in_shell(const AppRun& run, const std::string& line,
                                      const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"-c", line + " \"$0\" \"$@\"",
                                        std::string(SSA_BIN_DIR) + "/ssa-train"};
  const std::vector<std::string> own = run.train_arguments("shell", more);
  arguments.insert(arguments.end(), own.begin(), own.end());
  return std::make_unique<Child>("/bin/bash", arguments);
}

/// Whether a child has ended; its exit code can still be waited for.
bool has_ended(const Child& child) {
  siginfo_t info = {};
  ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid != 0;
}

}  // namespace

TEST_CASE("SIGTERM: saved, code 75, and resumed to the bits of the uninterrupted run", "[slow]") {
  const AppRun run;
  Child child("ssa-train", run.train_arguments("stopped", kLong));
  child.wait_until([&] { return run.lines_of_metrics("stopped") >= 20; });

  const Finished second = run.train("stopped", {"--resume", "auto"});
  CHECK(second.code == 2);
  CHECK(contains(second.err, "in use by process " + std::to_string(child.pid())));

  child.send(SIGTERM);
  const Finished stopped = child.wait();
  CAPTURE(stopped.err);
  REQUIRE(stopped.code == 75);
  const size_t steps_done = run.lines_of_metrics("stopped");
  CHECK(steps_done < kSteps);
  CHECK(path_exists(run.dir / ("stopped/checkpoints/step-" + std::to_string(steps_done))));
  CHECK_FALSE(path_exists(run.dir / "stopped/report.html"));

  std::vector<std::string> resume = kLong;
  resume.insert(resume.begin(), {"--resume", "auto"});
  REQUIRE(run.train("stopped", resume).code == 0);
  REQUIRE(run.train("whole", kLong).code == 0);
  REQUIRE(run.model_bytes("whole", kSteps).size() > 10000);
  CHECK((run.model_bytes("stopped", kSteps) == run.model_bytes("whole", kSteps)));
  CHECK(path_exists(run.dir / "stopped/report.html"));
  CHECK(run.lines_of_metrics("stopped") == run.lines_of_metrics("whole"));
}

TEST_CASE("Ctrl-C twice still saves: code 75 and a checkpoint that loads") {
  const AppRun run;
  const std::vector<std::string> loud(kLong.begin() + 1, kLong.end());  // without --quiet
  Child child("ssa-train", run.train_arguments("run", loud));
  child.wait_until([&] { return run.lines_of_metrics("run") >= 5; });
  child.send(SIGINT);
  child.send(SIGINT);
  const Finished stopped = child.wait();
  CHECK(stopped.code == 75);
  CHECK(contains(stopped.err, "stopping"));
  CHECK(contains(stopped.err, "to go on: ssa-train --config "));
  CHECK(contains(stopped.err, "--run-dir " + run.dir / "run" + " --resume auto"));
  CHECK(run_program("ssa-generate",
                    {"--run", run.dir / "run", "--length", "2", "--output", run.dir / "text.out"})
            .code == 0);
  CHECK(read_bytes(run.dir / "text.out").size() == 3);
}

TEST_CASE("a long evaluation and a long text stop as well: code 75, no result") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  Child eval("ssa-eval", {"--run", run.dir / "run", "--mode", "ensemble", "--samples", "1000",
                          "--json", run.dir / "result.json"});
  eval.wait_until([&] { return eval.handles(SIGTERM); });
  eval.send(SIGTERM);
  CHECK(eval.wait().code == 75);
  CHECK_FALSE(path_exists(run.dir / "result.json"));

  Child generate("ssa-generate", {"--run", run.dir / "run", "--length", "1000000000"});
  generate.wait_until([&] { return generate.out().size() > 10; });
  generate.send(SIGTERM);
  CHECK(generate.wait().code == 75);
}

TEST_CASE("a program that waits for a pipe ends at the first signal") {
  const AppRun run;
  const std::string pipe = run.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  write_bytes(run.dir / "including.yaml", "include: pipe\ntask: byte_lm\n");
  const std::vector<std::pair<std::string, std::vector<std::string>>> commands = {
      {"ssa-train", {"--config", pipe}},
      {"ssa-train", {"--config", run.dir / "including.yaml"}},
      {"ssa-train", {"--config", run.config_path, "--dry-run", "--json", pipe}},
      {"ssa-report", {run.dir / "run", "--output", pipe}},
      {"ssa-generate", {"--run", run.dir / "run", "--length", "5", "--output", pipe}}};
  for (const auto& [program, arguments] : commands) {
    Child child(program, arguments);
    child.wait_until([&] { return child.handles(SIGTERM); });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until it waits
    child.send(SIGTERM);
    CAPTURE(program);
    CHECK(child.wait().code == 75);
  }
}

TEST_CASE(
    "an evaluation whose result nobody reads ends at the first signal, with the score stored") {
  const AppRun run;
  const std::string pipe = run.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  Child child("ssa-eval", {"--run", run.dir / "run", "--json", pipe});
  child.wait_until([&] { return path_exists(run.dir / "run/eval-renorm-test.json"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until it waits
  child.send(SIGTERM);
  CHECK(child.wait().code == 75);
}

TEST_CASE("a signal ends a program with 75 before it has read its command line") {
  const TempDir dir;
  const std::string pipe = dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  const int full = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
  REQUIRE(full >= 0);
  const std::string page(4096, ' ');
  while (::write(full, page.data(), page.size()) > 0) continue;
  for (const std::string program : {"ssa-train", "ssa-report", "ssa-bench"}) {
    // Printing its version, it waits for somebody to empty the pipe.
    Child child("/bin/bash", {"-c", "exec \"$0\" --version > " + pipe,
                              std::string(SSA_BIN_DIR) + "/" + program});
    child.wait_until([&] { return child.handles(SIGTERM); });
    child.send(SIGTERM);
    CAPTURE(program);
    CHECK(child.wait().code == 75);
  }
  ::close(full);
}

TEST_CASE("signals that keep coming do not kill a run that saves: code 75", "[slow]") {
  const AppRun run;
  for (const int64_t pause : {5, 11, 20}) {
    const std::string name = "run-" + std::to_string(pause);
    Child child("ssa-train", run.train_arguments(name, kLong));
    child.wait_until([&] { return run.lines_of_metrics(name) >= 5; });
    while (!has_ended(child)) {
      child.send(SIGTERM);
      std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    }
    CHECK(child.wait().code == 75);
    CHECK(path_exists(run.dir / (name + "/checkpoints/latest")));
  }
}

TEST_CASE("a closed terminal stops a run like SIGTERM, unless it was told to ignore that") {
  const AppRun run;
  Child child("ssa-train", run.train_arguments("run", kLong));
  child.wait_until([&] { return run.lines_of_metrics("run") >= 5; });
  child.send(SIGHUP);
  CHECK(child.wait().code == 75);
  CHECK(path_exists(run.dir / "run/checkpoints/latest"));
  const auto nohup = train_in_shell(run, "trap '' HUP; exec", {"--set", "train.steps=100000"});
  nohup->wait_until([&] { return nohup->handles(SIGTERM); });
  CHECK_FALSE(nohup->handles(SIGHUP));
}

TEST_CASE("a log that nobody reads any more does not end a run") {
  const AppRun run;
  const auto child =
      train_in_shell(run, "exec 2> >(true); sleep 0.2; exec", {"--set", "train.steps=3"});
  CHECK(child->wait().code == 0);
  CHECK(path_exists(run.dir / "shell/checkpoints/step-3"));
}

TEST_CASE("a log that is closed from the start ends up in no file of the run") {
  const AppRun run;
  const auto child = train_in_shell(run, "exec 2>&- >&- <&-; exec", {"--set", "train.steps=3"});
  CHECK(child->wait().code == 0);
  std::istringstream log(read_bytes(run.dir / "shell/log.txt"));
  int lines = 0;
  for (std::string line; std::getline(log, line); ++lines) CHECK(line.starts_with("20"));  // a date
  CHECK(lines > 3);
}

TEST_CASE("a file at its size limit is code 4, with a message") {
  const AppRun run;
  const Finished finished =
      train_in_shell(run, "ulimit -f 8; exec", {"--set", "train.steps=3"})->wait();
  CHECK(finished.code == 4);
  CHECK(contains(finished.err, "File too large"));
}
