#include "ssa/storage/run_folder.h"

#include <optional>

#include <catch2/catch.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// What a second process is told; empty if it gets the folder.
std::string error_of_second(const std::string& path) {
  try {
    const RunFolder second(path);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a run folder is made with the folders above it and knows its paths") {
  const TempDir dir;
  const RunFolder run(dir / "runs/first");
  REQUIRE(std::filesystem::is_directory(dir / "runs/first"));
  REQUIRE(run.locked());
  REQUIRE(run.config_path() == dir / "runs/first/config.yaml");
  REQUIRE(run.metrics_path() == dir / "runs/first/metrics.jsonl");
  REQUIRE(run.log_path() == dir / "runs/first/log.txt");
  REQUIRE(run.report_path() == dir / "runs/first/report.html");
  REQUIRE(run.checkpoints_path() == dir / "runs/first/checkpoints");
  run.write_config("task: byte_lm\n");
  run.write_config("task: word_lm\n");
  REQUIRE(read_bytes(run.config_path()) == "task: word_lm\n");
}

TEST_CASE("samples are listed by their steps, and removed after one") {
  const TempDir dir;
  const RunFolder run(dir / "run");
  CHECK(list_samples(dir / "run").empty());
  for (const int64_t step : {1000, 200, 30}) {
    run.write_sample(step, "png", "of step " + std::to_string(step));
  }
  run.write_sample(200, "txt", "a text");
  for (const char* other : {"step-7", "step-7.png.partial", "step--7.png", "step-x.png", "notes"}) {
    write_bytes(dir / "run/samples/" + other, "no sample");
  }
  const std::vector<SampleFile> all = list_samples(dir / "run");
  REQUIRE(all.size() == 4);
  CHECK(all[0].step == 30);
  CHECK(all[1].path == dir / "run/samples/step-200.png");
  CHECK(all[2].path == dir / "run/samples/step-200.txt");
  CHECK(read_bytes(all[3].path) == "of step 1000");
  run.remove_samples_after(200);
  CHECK(list_samples(dir / "run").size() == 3);
  run.remove_samples_after(-1);
  CHECK(list_samples(dir / "run").empty());
  CHECK(std::filesystem::exists(dir / "run/samples/step-7"));
}

TEST_CASE("a second process is refused and told who holds the folder") {
  const TempDir dir;
  std::optional<RunFolder> run(dir / "run");
  const std::string message = error_of_second(dir / "run");
  CAPTURE(message);
  REQUIRE(message.find("in use by process " + std::to_string(::getpid()) + " ") !=
          std::string::npos);
  REQUIRE(message.find(dir / "run") != std::string::npos);

  const RunFolder moved = std::move(*run);
  run.reset();
  REQUIRE_FALSE(error_of_second(dir / "run").empty());
}

TEST_CASE("the lock goes with its holder") {
  const TempDir dir;
  { const RunFolder run(dir / "run"); }
  REQUIRE(error_of_second(dir / "run").empty());

  const pid_t child = ::fork();
  if (child == 0) {
    try {
      const RunFolder run(dir / "run");
      ::_exit(0);  // without releasing anything
    } catch (...) {
      ::_exit(1);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE(error_of_second(dir / "run").empty());
}

TEST_CASE("a path that cannot be a folder is an error") {
  const TempDir dir;
  write_bytes(dir / "file", "x");
  require_checkpoint_error([&] { RunFolder run(dir / "file/run"); }, {dir / "file/run"});
}

TEST_CASE("where there are no locks, a folder is had without one") {
  const TempDir dir;
  const HookGuard none([](FileOp op, const std::string&) {
    return FileFault{op == FileOp::lock ? ENOLCK : 0, false};
  });
  const RunFolder run(dir / "run");
  REQUIRE_FALSE(run.locked());
  REQUIRE(error_of_second(dir / "run").empty());
}

TEST_CASE("changes of the config are a file as long as there are any") {
  const TempDir dir;
  const RunFolder run(dir / "run");
  run.write_config_changes("[1]");
  REQUIRE(read_bytes(dir / "run/config-changes.json") == "[1]\n");
  run.write_config_changes("");
  run.write_config_changes("");
  REQUIRE_FALSE(path_exists(dir / "run/config-changes.json"));
}
