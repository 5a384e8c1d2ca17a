#include <sstream>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::vector<std::string> programs() {
  std::istringstream words(SSA_APPS);
  return {std::istream_iterator<std::string>(words), {}};
}

/// The one message of a program that refuses to start.
std::string refusal(int code, const std::string& program,
                    const std::vector<std::string>& arguments) {
  const Finished finished = run_program(program, arguments);
  CAPTURE(program, finished.err);
  CHECK(finished.code == code);
  CHECK(finished.out.empty());
  return finished.err;
}

}  // namespace

TEST_CASE("every program explains itself, with examples, and tells its version") {
  REQUIRE(programs().size() >= 5);
  for (const std::string& program : programs()) {
    CAPTURE(program);
    const Finished help = run_program(program, {"--help"});
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK(contains(help.out, "Examples:\n  " + program));
    CHECK(contains(help.out, "--version"));
    const Finished version = run_program(program, {"--version"});
    CHECK(version.code == 0);
    CHECK(contains(version.out, program + " 0."));
    CHECK(contains(version.out, "commit"));
  }
}

TEST_CASE("a wrong command line is code 2 for every program") {
  for (const std::string& program : programs()) {
    CHECK(contains(refusal(2, program, {"--no-such-option"}), "--help"));
  }
  CHECK(contains(refusal(2, "ssa-train", {}), "--config"));
  CHECK(contains(refusal(2, "ssa-generate", {"--run", "x"}), "--length"));
  CHECK(contains(refusal(2, "ssa-generate", {"--run", "x", "--length", "-3"}), "--length"));
  CHECK(contains(refusal(2, "ssa-eval", {"--run", "a", "--checkpoint", "b"}), "--run"));
  CHECK(contains(refusal(2, "ssa-eval", {"--run", "a", "--mode", "both"}), "ensemble"));
  CHECK(contains(refusal(2, "ssa-train", {"--log-level", "loud"}), "--log-level"));
}

TEST_CASE("an unknown key is named with its line and the nearest valid key, all of them at once") {
  const TempDir dir;
  const std::string config = dir / "typo.yaml";
  write_bytes(config, "task: byte_lm\ndata: {path: x}\nmodel:\n  widht: 16\ntrain:\n  stepps: 8\n");
  const std::string message = refusal(2, "ssa-train", {"--config", config, "--set", "ssa.kid=x"});
  CHECK(contains(message, config + ":4: model.widht: unknown key; did you mean model.width?"));
  CHECK(contains(message, config + ":6: train.stepps"));
  CHECK(contains(message, "train.steps?"));
  CHECK(contains(message, "ssa.kid"));
}

TEST_CASE("a config that is not there, or asks for what there is not") {
  const AppRun run;
  CHECK(contains(refusal(2, "ssa-train", {"--config", run.dir / "none.yaml"}),
                 run.dir / "none.yaml"));
  CHECK(contains(refusal(2, "ssa-eval", {"--run", run.dir / "none"}), "none/config.yaml"));
  CHECK(contains(refusal(2, "ssa-train", run.train_arguments("run", {"--device", "gpu"})),
                 "--device gpu"));
  CHECK(contains(
      refusal(2, "ssa-train", run.train_arguments("run", {"--set", "train.precision=bf16"})),
      "train.precision=fp32"));
  const Finished unwritten = run_program("ssa-train", {"--config", run.config_path, "--dry-run",
                                                       "--json", run.dir / "no/such/folder.json"});
  CHECK(unwritten.code == 2);
  CHECK(contains(unwritten.err, "no/such/folder.json: cannot be written"));
  CHECK_FALSE(path_exists(run.dir / "run"));
}

TEST_CASE("a printed config reads back as itself, overrides included") {
  const AppRun run;
  const Finished printed =
      run_program("ssa-train", {"--config", run.config_path, "--print-config", "--set",
                                "train.optimizer.lr=0.003", "ssa.windows=8"});
  REQUIRE(printed.code == 0);
  CHECK(contains(printed.out, "windows: 8"));
  write_bytes(run.dir / "printed.yaml", printed.out);
  const Finished again =
      run_program("ssa-train", {"--config", run.dir / "printed.yaml", "--print-config"});
  CHECK(again.code == 0);
  CHECK(again.out == printed.out);
  CHECK(load_config(run.dir / "printed.yaml") ==
        run.config({"train.optimizer.lr=0.003", "ssa.windows=8"}));
}
