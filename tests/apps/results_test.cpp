#include <cmath>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

TEST_CASE("a dry run of the published Enwik8 S16-L4 gives the paper's size and compute") {
  const TempDir dir;
  const std::vector<std::string> common = {"--config", SSA_SOURCE_DIR "/configs/enwik8_s16_l4.yaml",
                                           "--dry-run", "--json"};
  std::vector<std::string> to_file = common, to_output = common;
  to_file.push_back(dir / "cost.json");
  to_output.push_back("-");
  const Finished written = run_program("ssa-train", to_file);
  REQUIRE(written.code == 0);
  CHECK(contains(written.out, "parameters"));
  const Finished printed = run_program("ssa-train", to_output);
  REQUIRE(printed.code == 0);
  json cost = json::parse(printed.out), in_file = json::parse(read_bytes(dir / "cost.json"));
  for (const char* measured : {"rank_tflops", "step_seconds", "train_seconds"}) {
    CAPTURE(measured);
    CHECK(cost[measured].get<double>() > 0);
    cost.erase(measured);
    in_file.erase(measured);
  }
  CHECK(in_file == cost);

  CHECK(cost["parameters"].get<double>() > 201.5e6);
  CHECK(cost["parameters"].get<double>() < 202.5e6);
  CHECK(cost["compute_ratio"].get<double>() == Approx(0.70).margin(0.005));
  CHECK(cost["train_exaflop"].get<double>() == Approx(1.76 * 0.70).epsilon(0.01));
  CHECK(cost["forward_flop_per_token"].get<double>() == Approx(0.7 * 671.1e6).epsilon(0.01));
  for (const char* part : {"parameters", "gradients", "optimizer", "activations", "workspace"}) {
    CAPTURE(part);
    CHECK(cost["memory_bytes"][part].get<int64_t>() > 0);
  }
  // Buffers are whole multiples of 64 bytes.
  CHECK(cost["memory_bytes"]["parameters"].get<double>() ==
        Approx(cost["parameters"].get<double>() * 4).epsilon(1e-6));
}

TEST_CASE("training leaves a folder that describes itself, in plain lines when piped") {
  const AppRun run;
  const Finished trained = run.train("run", {"--set", "train.steps=4"});
  REQUIRE(trained.code == 0);
  CHECK(trained.out.empty());
  CHECK(contains(trained.err, "step 1/4  loss "));
  CHECK(contains(trained.err, "+FT"));
  CHECK_FALSE(contains(trained.err, "\033["));
  const std::string folder = run.dir / "run";
  CHECK(load_config(folder + "/config.yaml") == run.config({"train.steps=4"}));
  for (const char* file : {"metrics.jsonl", "log.txt", "report.html", "checkpoints/latest",
                           "checkpoints/step-4/manifest.json"}) {
    CAPTURE(file);
    CHECK_FALSE(read_bytes(folder + "/" + file).empty());
  }
  const std::string metrics = read_bytes(folder + "/metrics.jsonl");
  const json first = json::parse(metrics.substr(0, metrics.find('\n')));
  for (const char* key : {"step", "split", "loss", "bits_per_byte", "lr", "grad_norm", "tokens",
                          "tokens_per_second", "elapsed_seconds", "peak_memory_bytes"}) {
    CAPTURE(key);
    CHECK(first.contains(key));
  }
  const Finished report = run_program("ssa-report", {folder, "--output", run.dir / "report.html"});
  CHECK(report.code == 0);
  CHECK(contains(read_bytes(run.dir / "report.html"), "<svg"));
  CHECK(contains(read_bytes(folder + "/log.txt"), " info step 4/4  loss "));
  CHECK(run.train("silent", {"--quiet", "--set", "train.steps=2"}).err.empty());
  const std::string log = read_bytes(run.dir / "silent/log.txt");
  CHECK(contains(log, " info step 1/2  loss "));
  CHECK(contains(log, " info done at step 2"));
}

TEST_CASE("ssa-eval writes the fields of its result, and the curve of an ensemble") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet"}).code == 0);
  const std::string folder = run.dir / "run";
  const Finished dense = run_program(
      "ssa-eval", {"--run", folder, "--mode", "renorm", "--split", "valid", "--json", "-"});
  REQUIRE(dense.code == 0);
  const json renorm = json::parse(dense.out);
  CHECK(renorm["mode"] == "renorm");
  CHECK(renorm["split"] == "valid");
  CHECK(renorm["samples"] == 1);
  CHECK(renorm["tokens"] == 300);
  CHECK(renorm["curve"].empty());
  CHECK(renorm["seconds"].is_number());
  CHECK(renorm["bits_per_byte"].get<double>() ==
        Approx(renorm["loss"].get<double>() / std::log(2.0)));

  const Finished sampled =
      run_program("ssa-eval", {"--run", folder, "--mode", "ensemble", "--samples", "3", "--curve",
                               "--max-tokens", "100", "--json", run.dir / "e.json"});
  REQUIRE(sampled.code == 0);
  CHECK(contains(sampled.out, "ensemble of 3"));
  const json ensemble = json::parse(read_bytes(run.dir / "e.json"));
  CHECK(ensemble["mode"] == "ensemble");
  CHECK(ensemble["split"] == "test");
  CHECK(ensemble["tokens"] == 100);
  CHECK(ensemble["samples"] == 3);
  REQUIRE(ensemble["curve"].size() == 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(ensemble["curve"][i]["samples"] == i + 1);
    CHECK(ensemble["curve"][i]["value"].get<double>() > 0);
    CHECK(ensemble["curve"][i]["stderr"].get<double>() > 0);
  }
  CHECK(ensemble["curve"][2]["value"] == ensemble["bits_per_byte"]);

  // The last line of metrics.jsonl scored the same 100 bytes of the same weights.
  const Finished again = run_program(
      "ssa-eval", {"--run", folder, "--split", "valid", "--max-tokens", "100", "--json", "-"});
  std::string metrics = read_bytes(folder + "/metrics.jsonl");
  metrics.pop_back();
  const json last = json::parse(metrics.substr(metrics.rfind('\n') + 1));
  REQUIRE(last["split"] == "valid");
  CHECK(json::parse(again.out)["loss"].get<double>() ==
        Approx(last["loss"].get<double>()).epsilon(1e-6));
}

TEST_CASE("a window far longer than the text costs no more than the text, and scores the same") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const auto loss = [&](const std::string& length) {
    const Finished scored =
        run_program("ssa-eval", {"--run", run.dir / "run", "--mode", "renorm", "--json", "-",
                                 "--set", "eval.length=" + length, "eval.overlap=0"});
    CAPTURE(scored.err);
    REQUIRE(scored.code == 0);
    return json::parse(scored.out)["loss"].get<double>();
  };
  CHECK(loss("2000000") == Approx(loss("300")).epsilon(1e-6));
}

TEST_CASE("a report that cannot be made is no failure of the run") {
  const AppRun run;
  make_directories(run.dir / "run/report.html");
  const Finished trained = run.train("run", {"--set", "train.steps=2"});
  CHECK(trained.code == 0);
  CHECK(contains(trained.err, "its report could not be made"));
  CHECK(contains(trained.err, "ssa-report " + (run.dir / "run") + " makes it"));

  const Finished again = run_program("ssa-report", {run.dir / "run"});
  CHECK(again.code == 4);
  CHECK(contains(again.err, "Give another file with --output"));
  const Finished elsewhere =
      run_program("ssa-report", {run.dir / "run", "--output", run.dir / "no/such/folder.html"});
  CHECK(elsewhere.code == 2);
  CHECK(contains(elsewhere.err, "folder.html: cannot be written"));
}

TEST_CASE("a result without room is not blamed on the checkpoints") {
  const AppRun run;
  const Finished finished =
      run_program("ssa-train", {"--config", run.config_path, "--dry-run", "--json", "/dev/full"});
  CHECK(finished.code == 2);
  CHECK(contains(finished.err, "/dev/full: cannot be written"));
  CHECK(contains(finished.err, "No space left"));
  CHECK_FALSE(contains(finished.err, "keep_checkpoints"));
}

TEST_CASE("results that cannot be written to standard output are code 2") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const std::string folder = run.dir / "run", bin = std::string(SSA_BIN_DIR) + "/";
  const std::vector<std::string> commands = {"ssa-train --print-config --config " + run.config_path,
                                             "ssa-train --config-reference",
                                             "ssa-eval --quiet --run " + folder,
                                             "ssa-generate --quiet --length 3 --run " + folder,
                                             "ssa-data list",
                                             "ssa-data info " + run.text_path,
                                             "ssa-report " + folder,
                                             "ssa-bench plan --length 64 --repeats 1",
                                             "ssa-sweep --help"};
  for (const std::string& command : commands) {
    Child child("/bin/bash", {"-c", "exec " + bin + command + " > /dev/full"});
    const Finished finished = child.wait();
    CAPTURE(command, finished.err);
    CHECK(finished.code == 2);
    CHECK(contains(finished.err, "standard output"));
  }
}

TEST_CASE("a dry run counts in what the task learns") {
  const auto forward = [](const std::string& config) {
    const Finished finished = run_program("ssa-train", {"--config", config, "--dry-run"});
    REQUIRE(finished.code == 0);
    const size_t begin = finished.out.find("forward ");
    return finished.out.substr(begin, finished.out.find('\n', begin) - begin);
  };
  const std::string configs = SSA_SOURCE_DIR "/configs/";
  CHECK(contains(forward(configs + "cifar10_mini_s6_l4.yaml"), "MFLOP per sub-pixel"));
  CHECK(contains(forward(configs + "enwik8_mini_s6_l4.yaml"), "MFLOP per token"));
}

TEST_CASE("ssa-eval says when the data are not those of the run") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const auto warnings = [&](const std::string& data) {
    const Finished scored = run_program(
        "ssa-eval", {"--run", run.dir / "run", "--max-tokens", "50", "--set", "data.path=" + data});
    CHECK(scored.code == 0);
    return scored.err;
  };
  CHECK_FALSE(contains(warnings(run.text_path), "is not what"));
  write_bytes(run.dir / "other.txt", sample_text(5000));
  const std::string warning = warnings(run.dir / "other.txt");
  CHECK(contains(warning, run.dir / "other.txt"));
  CHECK(contains(warning, "5000 bytes with checksum"));
}

TEST_CASE("ssa-generate continues the prompt by exactly as many bytes as asked for") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const auto text = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "--run", run.dir / "run", "--prompt", "the of", "--length", "50", "--top-k", "200"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Child child("ssa-generate", arguments);  // drawn bytes may be any, carriage returns too
    const Finished finished = child.wait();
    CHECK(finished.code == 0);
    return finished.out;
  };
  const std::string first = text({});
  CHECK(first.size() == 6 + 50 + 1);
  CHECK(first.starts_with("the of"));
  CHECK(first.back() == '\n');
  CHECK(text({}) == first);
  CHECK(text({"--seed", "2"}) != first);
  CHECK(text({"--output", run.dir / "text.out"}).empty());
  CHECK(read_bytes(run.dir / "text.out") == first);
  CHECK(run_program("ssa-generate",
                    {"--run", run.dir / "run", "--length", "5", "--temperature", "-1"})
            .code == 2);
  CHECK(run_program("ssa-generate", {"--run", run.dir / "run", "--length", "5", "--top-p", "2"})
            .code == 2);
}

TEST_CASE("ssa-generate writes with sub-models, past the end of its context") {
  const AppRun run;  // contexts of 32 bytes
  REQUIRE(run.train("run", {"--quiet", "--set", "train.steps=2"}).code == 0);
  const auto finished = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--run", run.dir / "run", "--length", "80"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Child child("ssa-generate", arguments);
    return child.wait();
  };
  const std::vector<std::string> ensemble = {"--mode", "ensemble", "--samples", "3"};
  const Finished first = finished(ensemble);
  CHECK(first.code == 0);
  CHECK(first.out.size() == 80 + 1);
  CHECK(contains(first.err, "80 bytes in "));
  CHECK(finished(ensemble).out == first.out);
  CHECK(finished({"--quiet"}).err.empty());
  CHECK(finished({"--slide", "1"}).out.size() == 80 + 1);
  const Finished far = finished({"--slide", "33"});
  CHECK(far.code == 2);
  CHECK(contains(far.err, "slide: 33 is outside 0 … 32"));
  CHECK(finished({"--mode", "both"}).code == 2);
  CHECK(finished({"--mode", "ensemble", "--samples", "0"}).code == 2);
}
