// Programs under mpirun: one result, written once, the same for any number of ranks.

#include <chrono>
#include <thread>

#include <nlohmann/json.hpp>

#include "ssa/sweep/child_process.h"

#include "apps/picture_files.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// Runs a program on several ranks. Returns its exit code, and all output in `out`.
Finished run_on(int ranks, const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {SSA_SOURCE_DIR "/scripts/launch_local.sh",
                                      "-n",
                                      std::to_string(ranks),
                                      "--threads",
                                      "1",
                                      "--launcher",
                                      "mpirun",
                                      "--",
                                      SSA_BIN_DIR "/" + program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const TempDir dir;
  ChildProcess child(command, dir / "out", {});
  std::optional<int> code;
  for (int i = 0; i < 60000 && !(code = child.poll()); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (!code) FAIL(program << " did not end: " << read_bytes(dir / "out"));
  return {*code, read_bytes(dir / "out"), ""};
}

size_t times(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace

TEST_CASE("ssa-eval gives the same result on 1, 2 and 3 ranks, and says it once", "[slow]") {
  const AppRun run;
  REQUIRE(run.train("run", {"--quiet", "--set", "eval.samples=5"}).code == 0);
  for (const std::string mode : {"renorm", "ensemble"}) {
    const std::string file = run.dir / ("run/eval-" + mode + "-test.json");
    const std::string predictions = run.dir / (mode + ".jsonl");
    json alone;
    std::string lines;
    for (const int ranks : {1, 2, 3}) {
      CAPTURE(mode, ranks);
      const Finished done = run_on(ranks, "ssa-eval",
                                   {"--run", run.dir / "run", "--mode", mode, "--samples", "5",
                                    "--predictions", predictions});
      CAPTURE(done.out);
      REQUIRE(done.code == 0);
      CHECK(times(done.out, "of step 8: ") == 1);
      json result = json::parse(read_bytes(file));
      CHECK(result["ranks"] == ranks);
      CHECK(result["tokens"] == 300);
      result.erase("ranks");
      result.erase("seconds");
      if (ranks == 1) {
        alone = result;
        lines = read_bytes(predictions);
      }
      CHECK(result == alone);
      CHECK(times(lines, "\n") > 5);
      CHECK((read_bytes(predictions) == lines));
    }
  }
}

TEST_CASE("ssa-eval writes the same losses and compares alike on 1 and 3 ranks", "[slow]") {
  const AppRun run;
  REQUIRE(run.train("a", {"--quiet", "--set", "train.steps=2", "eval.samples=2"}).code == 0);
  REQUIRE(run.train("b", {"--quiet", "--set", "train.steps=3", "eval.samples=2"}).code == 0);
  const std::string file = run.dir / "losses.safetensors", result = run.dir / "result.json";
  std::string losses;
  json compared;
  for (const int ranks : {1, 3}) {
    CAPTURE(ranks);
    const Overrides ensemble = {"--run", run.dir / "a", "--mode", "ensemble", "--json", result};
    REQUIRE(run_on(ranks, "ssa-eval", ensemble + Overrides{"--per-token", file}).code == 0);
    const Finished done =
        run_on(ranks, "ssa-eval", ensemble + Overrides{"--compare", run.dir / "b"});
    CAPTURE(done.out);
    REQUIRE(done.code == 0);
    CHECK(times(done.out, "A - B: ") == 1);
    json now = json::parse(read_bytes(result));
    for (const char* side : {"a", "b"}) now[side].erase("ranks"), now[side].erase("seconds");
    if (ranks == 1) losses = read_bytes(file), compared = now;
    CHECK((read_bytes(file) == losses));
    CHECK(now == compared);
    CHECK(run_on(ranks, "ssa-eval", ensemble + Overrides{"--compare", file}).code == 0);
    CHECK(run_on(ranks, "ssa-eval", {"--run", run.dir / "a", "--text", run.text_path, "--per-line"})
              .code == 0);
  }
}

TEST_CASE("ssa-eval tells the score of pictures apart in the same way on 1 and 3 ranks", "[slow]") {
  const PictureFiles files;
  REQUIRE(files.train("run", {"--quiet", "--set", "train.steps=1", "eval.samples=2"}).code == 0);
  for (const std::string mode : {"renorm", "ensemble"}) {
    json alone;
    for (const int ranks : {1, 3}) {
      CAPTURE(mode, ranks);
      const Finished done = run_on(ranks, "ssa-eval", {"--run", files.dir / "run", "--mode", mode});
      CAPTURE(done.out);
      REQUIRE(done.code == 0);
      json result = json::parse(read_bytes(files.dir / ("run/eval-" + mode + "-test.json")));
      result.erase("ranks");
      result.erase("seconds");
      REQUIRE(result["parts"]["rows"].size() == 4);
      if (ranks == 1) alone = result;
      CHECK(result == alone);
    }
  }
}

TEST_CASE("ssa-eval on ranks ends with the code of what is wrong", "[slow]") {
  const AppRun run;
  CHECK(run_on(2, "ssa-eval", {"--run", run.dir / "nothing"}).code == 2);
  REQUIRE(
      run.train("run", {"--quiet", "--set", "train.steps=2", "train.checkpoint_every=0"}).code ==
      0);
  flip_bit(run.dir / "run/checkpoints/step-2/model.safetensors");
  CHECK(run_on(2, "ssa-eval", {"--run", run.dir / "run"}).code == 4);
}

TEST_CASE("ssa-bench collective measures what the ranks do together", "[slow]") {
  const TempDir dir;
  const Finished done = run_on(2, "ssa-bench",
                               {"collective", "--min-bytes", "4099", "--max-bytes", "65600",
                                "--repeats", "1", "--json", dir / "c.json"});
  CAPTURE(done.out);
  REQUIRE(done.code == 0);
  const json result = json::parse(read_bytes(dir / "c.json"));
  CHECK(result["ranks"] == 2);
  REQUIRE(result["collectives"].size() == 3 * 2 * 3);
  for (const json& one : result["collectives"]) {
    CAPTURE(one.dump());
    const double seconds = one["seconds"], bytes = one["bytes"];
    CHECK(seconds > 0);
    CHECK(one["bytes"].get<int64_t>() % (one["dtype"] == "f32" ? 8 : 4) == 0);  // equal parts
    CHECK(one["algorithm_bandwidth"].get<double>() == Approx(bytes / seconds));
    const double of_bus = one["collective"] == "all_reduce" ? 1 : 0.5;
    CHECK(one["bus_bandwidth"].get<double>() == Approx(of_bus * bytes / seconds));
  }
  CHECK(times(done.out, "all_reduce") == 6);
  CHECK(run_program("ssa-bench", {"collective"}).code == 2);
}
