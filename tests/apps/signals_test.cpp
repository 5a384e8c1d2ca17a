#include <csignal>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kSteps = 1000;  // about a second: long enough to be stopped in the middle
const std::vector<std::string> kLong = {"--quiet", "--set", "train.steps=1000",
                                        "train.eval_every=0", "train.checkpoint_every=0"};

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
  Child child("ssa-train", run.train_arguments("run", kLong));
  child.wait_until([&] { return run.lines_of_metrics("run") >= 5; });
  child.send(SIGINT);
  child.send(SIGINT);
  const Finished stopped = child.wait();
  CHECK(stopped.code == 75);
  CHECK(contains(stopped.err, "stopping"));
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
