#include <filesystem>
#include <sstream>
#include <tuple>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::vector<std::string> programs() {
  std::istringstream words(SSA_APPS);
  return {std::istream_iterator<std::string>(words), {}};
}

/// The message of a program that refuses to start; it must be the only one.
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
    const std::string message = refusal(2, program, {"--no-such-option"});
    CHECK(message.starts_with(program + ": error: "));
    CHECK(contains(message, program + " --help"));
  }
  CHECK(contains(refusal(2, "ssa-train", {}), "--config"));
  CHECK(contains(refusal(2, "ssa-generate", {"--length", "3"}), "--run"));
  CHECK(contains(refusal(2, "ssa-generate", {"--run", "x", "--length", "-3"}), "--length"));
  CHECK(contains(refusal(2, "ssa-eval", {"--run", "a", "--checkpoint", "b"}), "--run"));
  CHECK(contains(refusal(2, "ssa-eval", {"--run", "a", "--mode", "both"}), "ensemble"));
  CHECK(contains(refusal(2, "ssa-train", {"--log-level", "loud"}), "--log-level"));
  CHECK(contains(refusal(2, "ssa-bench", {"gemm", "--m", "0"}), "--m"));
  CHECK(contains(refusal(2, "ssa-bench", {"gemm", "--m", "0"}), "ssa-bench gemm --help"));
  CHECK(contains(refusal(2, "ssa-bench", {"plan", "--length", "-8"}), "--length"));
  CHECK(contains(refusal(2, "ssa-bench", {"attention", "--heads", "0"}), "--heads"));
  CHECK(contains(refusal(2, "ssa-bench", {"graph-attention", "--nodes", "9-3"}),
                 "--nodes 9-3: 9 is more than 3"));
  CHECK(contains(refusal(2, "ssa-bench", {"graph-attention", "--nodes", "9x"}), "should be LO-HI"));
}

TEST_CASE("an unknown option is named, and the one that was probably meant") {
  const auto message = [](const std::string& program, const std::vector<std::string>& arguments) {
    return refusal(2, program, arguments);
  };
  CHECK(contains(message("ssa-eval", {"--run", "a", "--smaples", "3"}),
                 "unknown option --smaples; did you mean --samples? See"));
  CHECK(contains(message("ssa-eval", {"--run=a", "--jsn=x"}), "--jsn; did you mean --json?"));
  // A required option is missing because of the slip.
  CHECK(contains(message("ssa-sweep", {"--confg", "c", "--vary", "a=1"}),
                 "--confg; did you mean --config?"));
  CHECK(contains(message("ssa-data", {"prepare", "bytes", "--imput", "a", "--output", "b"}),
                 "--imput; did you mean --input? See ssa-data prepare --help"));
  for (const std::string far : {"--foo", "--no-such-option"}) {
    const std::string text = message("ssa-eval", {"--run", "a", far});
    CHECK(contains(text, "unknown option " + far + ". See"));
    CHECK_FALSE(contains(text, "did you mean"));
  }
}

TEST_CASE("ssa-bench refuses sizes that cannot be, and options that would do nothing") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"plan", "--windows", "0"}, "--windows: '0' should be a whole number from 1 up"},
      {{"attention", "--window", "7"}, "--window requires --grid-"},
      {{"attention", "--shift", "3"}, "--shift requires --window"},
      {{"attention", "--block", "3"}, "--block requires --window"},
      {{"attention", "--window", "2", "--grid-rows", "4", "--grid-columns", "4", "--length", "9"},
       "--length excludes --window"},
      {{"attention", "--length", "8", "--bias", "relative_2d", "--grid-columns", "1000000000"},
       "--grid-columns 1000000000: there are only 8 positions"},
      {{"graph-attention", "--drop", "nan"}, "--drop nan: it should be a number of 0 to 1"},
      {{"graph-attention", "--graphs", "1000000000"},
       "--graphs 1000000000, --nodes 10-26: up to 6.76e+11 pairs of nodes"},
  };
  for (const auto& [arguments, message] : cases) {
    const std::string text = refusal(2, "ssa-bench", arguments);
    CAPTURE(text);
    CHECK(contains(text, message));
  }
}

TEST_CASE("ssa-bench compares the reference with its own peak, soon") {
  CHECK(run_program("ssa-bench", {"attention", "--device", "reference", "--length", "16", "--batch",
                                  "1", "--heads", "1", "--repeats", "1"})
            .code == 0);
}

TEST_CASE("common options may stand behind a subcommand, whose help has examples too") {
  const std::vector<std::string> plan = {"plan", "--length", "64", "--repeats", "1"};
  std::vector<std::string> quiet = plan;
  quiet.push_back("--quiet");
  CHECK(run_program("ssa-bench", quiet).code == 0);
  CHECK(run_program("ssa-data", {"list", "--log-level", "warn"}).code == 0);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"ssa-bench", "gemm"}, {"ssa-data", "prepare"}}) {
    const Finished help = run_program(command[0], {command[1], "--help"});
    CHECK(help.code == 0);
    CHECK(contains(help.out, "Examples:\n  " + command[0]));
  }
}

TEST_CASE("ssa-bench step takes the precision of its config") {
  const AppRun run;
  const std::vector<std::string> half = {"step", "--config", run.config_path, "--set",
                                         "train.precision=fp16"};
  CHECK(contains(refusal(2, "ssa-bench", half), "does not compute in fp16"));
  std::vector<std::string> given = half;
  given.insert(given.begin() + 1, {"--precision", "fp32", "--repeats", "1"});
  CHECK(run_program("ssa-bench", given).code == 0);
}

TEST_CASE("ssa-bench step --compare gives C, M and S against both dense baselines") {
  const AppRun run;
  const std::string file = run.dir / "compare.json";
  const Finished done = run_program(
      "ssa-bench", {"step", "--config", run.config_path, "--compare", "--repeats", "1", "--json",
                    file, "--set", "ssa.kind=local", "ssa.windows=4", "ssa.layers=0",
                    "model.width=16", "model.ffn_width=64", "model.heads=4", "data.length=256",
                    "eval.length=256", "eval.overlap=0", "ssa.finetune_fraction=0"});
  CAPTURE(done.err);
  REQUIRE(done.code == 0);
  CHECK(contains(done.out, "both materialized, as in the paper"));
  const nlohmann::json result = nlohmann::json::parse(read_bytes(file));
  // (24·16 + 4·64) / (24·16 + 4·256), over d
  CHECK(result["compute_ratio"].get<double>() == Approx(640.0 / 1408.0));
  const auto bytes = [&](const char* which) {
    return result["runs"][which]["peak_memory_bytes"].get<double>();
  };
  for (const auto& [ratios, own, baseline] :
       {std::tuple{"both_materialized", "materialized", "dense_materialized"},
        {"both_fused", "fused", "dense_fused"},
        {"fused_to_dense_materialized", "fused", "dense_materialized"}}) {
    CAPTURE(ratios);
    CHECK(result[ratios]["memory"].get<double>() == Approx(bytes(own) / bytes(baseline)));
    CHECK(result[ratios]["speed"].get<double>() > 0);
  }
  CHECK(bytes("materialized") < 0.7 * bytes("dense_materialized"));
  CHECK(bytes("fused") < bytes("materialized"));
  CHECK(bytes("fused") == Approx(bytes("dense_fused")).epsilon(0.05));
}

TEST_CASE("a file of --json is replaced, never written over") {
  const AppRun run;
  const std::string file = run.dir / "cost.json", reader = run.dir / "reader.json";
  write_bytes(file, "old");
  std::filesystem::create_hard_link(file, reader);  // stands for a reader that has it open
  REQUIRE(
      run_program("ssa-train", {"--config", run.config_path, "--dry-run", "--json", file}).code ==
      0);
  CHECK(read_bytes(reader) == "old");
  CHECK(contains(read_bytes(file), "forward_flop_per_token"));
}

TEST_CASE("a dry run of sizes beyond all measure says so") {
  const AppRun run;
  const Finished dry =
      run_program("ssa-train",
                  {"--config", run.config_path, "--dry-run", "--set", "train.batch_size=2147483644",
                   "train.micro_batch=2147483644", "data.length=2147483644"});
  REQUIRE(dry.code == 0);
  CHECK_FALSE(contains(dry.out, " -"));
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
  for (const char* program : {"ssa-eval", "ssa-generate"}) {
    const auto refused = [&](const std::string& dir) {
      std::vector<std::string> arguments = {"--run", dir};
      if (program == std::string("ssa-generate"))
        arguments.insert(arguments.end(), {"--length", "3"});
      return refusal(2, program, arguments);
    };
    CHECK(
        contains(refused(run.dir / "none"), "none: there is no such run folder. Give the folder"));
    CHECK(contains(refused(std::filesystem::temp_directory_path()), "holds no config.yaml"));
  }
  CHECK(contains(refusal(2, "ssa-train", run.train_arguments("run", {"--device", "gpu"})),
                 "--device gpu"));
  CHECK(contains(
      refusal(2, "ssa-train", run.train_arguments("run", {"--set", "train.precision=fp16"})),
      "train.precision=bf16"));
  const Finished unwritten = run_program("ssa-train", {"--config", run.config_path, "--dry-run",
                                                       "--json", run.dir / "no/such/folder.json"});
  CHECK(unwritten.code == 2);
  CHECK(contains(unwritten.err, "error: " + run.dir / "no/such/folder.json: cannot be written"));
  CHECK(contains(refusal(4, "ssa-train", run.train_arguments("run", {"--resume", "yes"})),
                 "--resume yes: there is no such checkpoint. Give auto"));
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

TEST_CASE("options of molecules are refused for other data") {
  const TempDir dir;
  write_bytes(dir / "text", "abc");
  for (const Overrides& option : {Overrides{"--on-bad-smiles", "skip"}, {"--seed", "3"}}) {
    const Overrides command = {"prepare",    "bytes",    "--input",
                               dir / "text", "--output", dir / "out"};
    const Finished done = run_program("ssa-data", command + option);
    CHECK(done.code == 2);
    CHECK(contains(done.err, option[0] + " is for `pcqm4mv2` and `molecules`, not for `bytes`"));
    CHECK_FALSE(path_exists(dir / "out"));
  }
}
