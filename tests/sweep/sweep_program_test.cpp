#include <csignal>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

struct SweepRun : AppRun {
  std::string root = dir / "sweep";

  std::vector<std::string> arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"--config", config_path, "--run-root", root};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Finished sweep(const std::vector<std::string>& more) const {
    return run_program("ssa-sweep", arguments(more));
  }
  std::string metrics(const std::string& point) const {
    return read_bytes(root + "/" + point + "/metrics.jsonl");
  }
  size_t steps(const std::string& point) const {
    const std::string text = metrics(point);
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

}  // namespace

TEST_CASE("a sweep trains and scores every point, and skips them the next time", "[sweep]") {
  const SweepRun run;
  const std::vector<std::string> grid = {
      "--vary",          "ssa.kind=none,local", "ssa.windows=2,4", "--eval", "both",
      "--set",           "eval.samples=2",      "--jobs",          "2",      "--json",
      run.dir / "t.json"};
  const Finished first = run.sweep(grid);
  CAPTURE(first.err);
  REQUIRE(first.code == 0);
  CHECK(contains(first.err, "is the same run as"));
  CHECK(contains(first.out, "S2-L4+FT"));
  const json table = json::parse(read_bytes(run.dir / "t.json"));
  REQUIRE(table.size() == 3);
  for (const json& row : table) {
    CHECK(row["state"] == "finished");
    CHECK(row["steps_done"] == 8);
    CHECK(row["ensemble_samples"] == 2);
    for (const char* key : {"train_loss", "valid_part_bits_per_byte", "test_bits_per_byte",
                            "test_ensemble_bits_per_byte", "memory_ratio", "speed_ratio"}) {
      CAPTURE(key);
      CHECK(row[key].is_number());
    }
  }
  CHECK(contains(read_bytes(run.root + "/summary.csv"), "kind-local_windows-4"));
  CHECK(contains(read_bytes(run.root + "/kind-none/sweep-log.txt"), "ssa-train --config"));

  const std::string page = read_bytes(run.root + "/report.html");
  CHECK(contains(page, "windows-4"));
  CHECK(contains(page, "kind-none"));

  const std::string before = read_bytes(run.root + "/kind-none/log.txt");
  const Finished second = run.sweep(grid);
  CHECK(second.code == 0);
  CHECK(second.out == first.out);
  CHECK(contains(second.err, "3 of 3 points are finished already"));
  CHECK(read_bytes(run.root + "/kind-none/log.txt") == before);
}

TEST_CASE("a stopped sweep continues to the bits of an uninterrupted one", "[sweep]") {
  const SweepRun run;
  const std::vector<std::string> grid = {"--vary",
                                         "ssa.windows=2,4",
                                         "--eval",
                                         "none",
                                         "--set",
                                         "train.steps=200",
                                         "train.eval_every=0",
                                         "train.checkpoint_every=0"};
  Child child("ssa-sweep", run.arguments(grid));
  child.wait_until([&] { return run.steps("windows-2") >= 10; });
  const Finished other = run.sweep(grid);
  CHECK(other.code == 2);
  CHECK(contains(other.err, "in use by another ssa-sweep"));
  child.send(SIGINT);
  const Finished stopped = child.wait();
  CAPTURE(stopped.err);
  REQUIRE(stopped.code == 75);
  CHECK(contains(stopped.out, "waiting"));
  CHECK(run.steps("windows-2") < 200);
  CHECK(run.steps("windows-4") == 0);

  const Finished resumed = run.sweep(grid);
  CAPTURE(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(contains(resumed.err, "on from step"));
  REQUIRE(run.train("whole", {"--quiet", "--set", "train.steps=200", "train.eval_every=0",
                              "train.checkpoint_every=0", "ssa.windows=2"})
              .code == 0);
  REQUIRE(run.model_bytes("whole", 200).size() > 10000);
  CHECK((run.model_bytes("sweep/windows-2", 200) == run.model_bytes("whole", 200)));
}

TEST_CASE("a wrong value anywhere starts nothing", "[sweep]") {
  const SweepRun run;
  const Finished wrong = run.sweep({"--vary", "ssa.windows=4,5", "--vary", "train.seed=1,2"});
  CHECK(wrong.code == 2);
  CHECK(contains(wrong.err, "nothing was started: 2 of 4 points"));
  CHECK_FALSE(path_exists(run.root));
  CHECK(run.sweep({"--vary", "ssa.windows=4,,8"}).code == 2);
  CHECK(run.sweep({"--vary", "ssa.windows=4", "--only", "x"}).code == 2);
  CHECK(run.sweep({"--vary", "ssa.windows=4", "--device", "abacus"}).code == 2);
  CHECK_FALSE(path_exists(run.root));
}

TEST_CASE("failed points are reported, skipped, and retried on request", "[sweep]") {
  const SweepRun run;
  const std::string later = run.dir / "later.txt";
  const std::vector<std::string> grid = {"--vary", "data.path=" + run.text_path + "," + later,
                                         "--eval", "none"};
  const Finished failed = run.sweep(grid);
  CAPTURE(failed.err);
  CHECK(failed.code == 3);
  CHECK(contains(failed.err, "ssa-train failed with exit code 3"));
  CHECK(contains(failed.err, "later.txt"));
  CHECK(contains(failed.out, "finished"));
  CHECK(contains(failed.out, "failed"));

  write_bytes(later, sample_text(6000, 4));
  const Finished again = run.sweep(grid);
  CHECK(again.code == 3);
  CHECK(contains(again.err, "--retry-failed"));
  std::vector<std::string> retry = grid;
  retry.emplace_back("--retry-failed");
  const Finished mended = run.sweep(retry);
  CAPTURE(mended.err);
  CHECK(mended.code == 0);
}

TEST_CASE("a folder with runs of another config is refused, a grown grid is noted", "[sweep]") {
  const SweepRun run;
  REQUIRE(run.sweep({"--vary", "ssa.windows=2", "--eval", "none"}).code == 0);
  const Finished other =
      run.sweep({"--vary", "ssa.windows=2", "--eval", "none", "--set", "train.steps=9"});
  CHECK(other.code == 2);
  CHECK(contains(other.err, "train.steps: there 8, now 9"));
  const std::string text = read_bytes(run.text_path);
  const auto with_data = [&](const std::string& name, const std::string& content) {
    write_bytes(run.dir / name, content);
    return run.sweep(
        {"--vary", "ssa.windows=2", "--eval", "none", "--set", "data.path=" + run.dir / name});
  };
  CHECK(with_data("moved.txt", text).code == 0);
  write_bytes(run.text_path, text + "more");  // under the same path
  CHECK(contains(run.sweep({"--vary", "ssa.windows=2,4", "--eval", "none"}).err,
                 "another config, or of other data"));
  write_bytes(run.text_path, text);
  const Finished other_text = with_data("other.txt", text + "more");
  CHECK(other_text.code == 2);
  CHECK(contains(other_text.err, "other.txt has"));
  const Finished no_text = run.sweep(
      {"--vary", "ssa.windows=2", "--eval", "none", "--set", "data.path=" + run.dir / "none.txt"});
  CHECK(no_text.code == 3);
  CHECK(contains(no_text.err, "none.txt"));
  const Finished grown = run.sweep({"--vary", "ssa.windows=2,4", "--eval", "none"});
  CHECK(grown.code == 0);
  CHECK(contains(grown.err, "new in this grid: windows-4"));
  const Finished shrunk = run.sweep({"--vary", "ssa.windows=4", "--eval", "renorm"});
  CHECK(shrunk.code == 0);
  CHECK(contains(shrunk.err, "no longer in this grid, and left as they are: windows-2"));
}

TEST_CASE("a dry run lists points and costs, and leaves nothing behind", "[sweep]") {
  const SweepRun run;
  const Finished listed =
      run.sweep({"--vary", "ssa.windows=2,4", "--dry-run", "--json", "-", "--csv", run.dir / "c"});
  REQUIRE(listed.code == 0);
  const json table = json::parse(listed.out);
  REQUIRE(table.size() == 2);
  CHECK(table[0]["state"] == "waiting");
  CHECK(table[0]["compute_ratio"].get<double>() > table[1]["compute_ratio"].get<double>());
  CHECK(contains(read_bytes(run.dir / "c"), "windows-4"));
  CHECK_FALSE(path_exists(run.root));
}
