// ssa-eval --predictions: a line for each item, complete or not there at all.

#include <csignal>
#include <thread>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "apps/child_process.h"
#include "data/molecule_folder.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

struct PredictedRun : AppRun {
  std::string folder = dir / "run", file = dir / "predictions.jsonl";

  PredictedRun() { REQUIRE(train("run", {"--quiet", "--set", "train.steps=2"}).code == 0); }
  Overrides arguments(const Overrides& more) const {
    return Overrides{"--run", folder, "--split", "valid"} + more;
  }
  Finished score(const Overrides& more) const { return run_program("ssa-eval", arguments(more)); }
};

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    REQUIRE(end != std::string::npos);
    lines.push_back(json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

TEST_CASE("the losses in the file of predictions add up to the score") {
  const PredictedRun run;
  for (const std::string mode : {"renorm", "ensemble"}) {
    CAPTURE(mode);
    const Finished done =
        run.score({"--mode", mode, "--samples", "2", "--predictions", run.file, "--json", "-"});
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
    const json score = json::parse(done.out);
    const std::vector<json> lines = lines_of(read_bytes(run.file));
    double sum = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
      CHECK(lines[i]["index"] == i);
      CHECK(lines[i].contains("spread") == (mode == "ensemble"));
      for (const json& loss : lines[i]["losses"]) sum += loss.get<double>(), ++tokens;
    }
    CHECK(tokens == score["tokens"]);
    CHECK(sum / static_cast<double>(tokens) == Approx(score["loss"].get<double>()).epsilon(1e-12));
    CHECK_FALSE(path_exists(run.file + ".partial"));
  }
}

TEST_CASE("standard output and what is no file take predictions too") {
  const PredictedRun run;
  REQUIRE(run.score({"--predictions", run.file}).code == 0);
  const std::string lines = read_bytes(run.file);
  const Finished printed = run.score({"--predictions", "-"});
  CHECK(printed.code == 0);
  CHECK(printed.out == lines);
  const std::string pipe = run.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  Child reader("/bin/cat", {pipe});
  CHECK(run.score({"--predictions", pipe}).code == 0);
  CHECK(reader.wait().out == lines);
  const Finished both = run.score({"--predictions", "-", "--json", "-"});
  CHECK(both.code == 2);
  CHECK(contains(both.err, "only one of them fits on standard output"));
}

TEST_CASE("predictions that cannot be written are code 2; the score is stored") {
  const PredictedRun run;
  const std::string stored = run.folder + "/eval-renorm-valid.json";
  const Finished nowhere = run.score({"--predictions", run.dir / "no/such/file"});
  CHECK(nowhere.code == 2);
  CHECK(contains(nowhere.err, "no/such/file: cannot be written"));
  CHECK_FALSE(path_exists(stored));  // it is known before anything is computed
  const Finished full = run.score({"--predictions", "/dev/full"});
  CHECK(full.code == 2);
  CHECK(contains(full.err, "--predictions /dev/full: cannot be written"));
  CHECK(contains(full.err, "No space left"));
  CHECK(contains(full.out, "valid renorm of step 2"));
  CHECK(path_exists(stored));
}

TEST_CASE("a stopped evaluation leaves the predictions that were there") {
  const PredictedRun run;
  write_bytes(run.file, "old\n");
  Child child("ssa-eval", run.arguments({"--mode", "ensemble", "--samples", "2000", "--predictions",
                                         run.file}));
  child.wait_until([&] { return path_exists(run.file + ".partial"); });
  child.send(SIGTERM);
  CHECK(child.wait().code == 75);
  CHECK(read_bytes(run.file) == "old\n");
  CHECK_FALSE(path_exists(run.file + ".partial"));
}

TEST_CASE("an evaluation that waits for the reader of its predictions ends at the first signal") {
  const PredictedRun run;
  const std::string pipe = run.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  Child child("ssa-eval", run.arguments({"--predictions", pipe}));
  child.wait_until([&] { return child.handles(SIGTERM); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until it waits
  child.send(SIGTERM);
  CHECK(child.wait().code == 75);
}

TEST_CASE("molecules without a target are predicted with no score") {
  const TempDir dir;
  std::array<std::vector<Molecule>, 3> splits;
  for (uint64_t i = 0; i < 12; ++i) {
    splits[i / 4].push_back(random_molecule(3 + static_cast<int64_t>(i), 0.3, 50 + i));
  }
  splits[2][1].target = std::numeric_limits<float>::quiet_NaN();
  write_molecules(dir / "data", splits);
  write_bytes(dir / "config.yaml",
              "task: graph_regression\n"
              "model: {layers: 1, width: 8, ffn_width: 8, heads: 2, egt: {edge_width: 4}}\n"
              "ssa: {kind: unbiased, drop: 0.5}\n"
              "data: {name: molecules, path: " +
                  (dir / "data") +
                  "}\n"
                  "train: {steps: 2, batch_size: 4}\n"
                  "eval: {samples: 3}\n");
  const std::string run = dir / "run", file = dir / "predictions.jsonl";
  const Finished trained =
      run_program("ssa-train", {"--config", dir / "config.yaml", "--run-dir", run, "--quiet"});
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  const Finished refused = run_program("ssa-eval", {"--run", run});
  CHECK(refused.code == 3);
  CHECK(contains(refused.err, "1 of the 4 graphs of the test split have no target"));
  CHECK(contains(refused.err, "--predictions FILE"));
  for (const std::string mode : {"renorm", "ensemble"}) {
    CAPTURE(mode);
    const Overrides arguments = {"--run", run, "--mode", mode, "--samples", "3"};
    const Overrides wanted = {"--predictions", file};
    const Finished done = run_program("ssa-eval", arguments + wanted);
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
    CHECK(contains(done.out, "4 graphs predicted"));
    CHECK(contains(done.out, "No score: 1 of them have no target"));
    CHECK_FALSE(path_exists(run + "/eval-" + mode + "-test.json"));
    const std::vector<json> lines = lines_of(read_bytes(file));
    REQUIRE(lines.size() == 4);
    for (size_t i = 0; i < 4; ++i) {
      CHECK(lines[i]["index"] == 58 + i);
      CHECK(lines[i]["target"].is_null() == (i == 1));
      CHECK(lines[i].contains("spread") == (mode == "ensemble"));
    }
    const json result =
        json::parse(run_program("ssa-eval", arguments + wanted + Overrides{"--json", "-"}).out);
    CHECK(result["predicted"] == 4);
    CHECK(result["without_target"] == 1);
    CHECK_FALSE(result.contains("mae"));
    const Finished scored = run_program("ssa-eval", arguments + Overrides{"--split", "valid"});
    CHECK(contains(scored.out, "4 graphs"));
    CHECK(path_exists(run + "/eval-" + mode + "-valid.json"));
  }
}
