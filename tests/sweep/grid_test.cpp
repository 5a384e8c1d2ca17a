#include "ssa/sweep/grid.h"

#include <set>

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/sweep/manifest.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

using Strings = std::vector<std::string>;

struct GridRun : TinyRun {
  std::string config_path = dir / "tiny.yaml";
  GridRun() { write_bytes(config_path, tiny_yaml(text_path)); }

  SweepGrid grid(const Strings& vary, const Strings& set = {}) const {
    std::vector<Variation> variations;
    for (const std::string& text : vary) variations.push_back(parse_variation(text));
    return make_grid(config_path, set, variations);
  }
  Strings names(const Strings& vary) const {
    Strings result;
    for (const SweepPoint& point : grid(vary).points) result.push_back(point.name);
    return result;
  }
  std::string problem(const Strings& vary, const Strings& set = {}) const {
    try {
      grid(vary, set);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  }
};

}  // namespace

TEST_CASE("values are split at the commas outside of brackets and quotes", "[sweep]") {
  const auto values = [](const std::string& text) { return parse_variation(text).values; };
  CHECK(values("a=1,2,3") == Strings{"1", "2", "3"});
  CHECK(values(" a = 1 , 2 ") == Strings{"1", "2"});
  CHECK(parse_variation(" a.b = 1").key == "a.b");
  CHECK(values("a=[0.9, 0.99],[0.9, 0.999]") == Strings{"[0.9, 0.99]", "[0.9, 0.999]"});
  CHECK(values("a={b: 1, c: [2, 3]},0.25") == Strings{"{b: 1, c: [2, 3]}", "0.25"});
  CHECK(values("a='x,y',\"p,\\\"q\",z") == Strings{"'x,y'", "\"p,\\\"q\"", "z"});
  CHECK(values("a=b=1,c=2") == Strings{"b=1", "c=2"});
}

TEST_CASE("a malformed --vary says what is wrong", "[sweep]") {
  const auto [text, part] = GENERATE(Catch::Generators::values<std::pair<std::string, std::string>>(
      {{"ssa.windows", "expected key=v1,v2"},
       {"=1,2", "expected key=v1,v2"},
       {"a=", "a value is empty"},
       {"a=1,,2", "a value is empty"},
       {"a=1,", "a value is empty"},
       {"a=[1,2", "a ']' is missing"},
       {"a=1]", "']' closes nothing"},
       {"a=[1,2}", "'}' closes nothing"},
       {"a='1,2", "a quote (') is not closed"}}));
  CAPTURE(text);
  CHECK_THROWS_WITH(parse_variation(text), Catch::Contains(part));
}

TEST_CASE("the grid is every combination, the last variation fastest", "[sweep]") {
  const GridRun run;
  const SweepGrid grid = run.grid({"ssa.windows=2,4", "ssa.sigma.last=0.1,0.3"}, {"train.seed=5"});
  REQUIRE(grid.points.size() == 4);
  CHECK(grid.notes.empty());
  CHECK(grid.points[1].name == "windows-2_sigma.last-0.3");
  CHECK(grid.points[1].config.ssa.windows == 2);
  CHECK(grid.points[1].config.ssa.sigma.last == 0.3);
  CHECK(grid.points[1].config.train.seed == 5);
  CHECK(grid.points[1].overrides == Strings{"train.seed=5", "ssa.windows=2", "ssa.sigma.last=0.3"});
  CHECK(grid.points[2].config.ssa.windows == 4);
  CHECK(grid.points[2].config.ssa.sigma.last == 0.1);
}

TEST_CASE("names are file-safe, readable and unique", "[sweep]") {
  const GridRun run;
  CHECK(run.names({"ssa.sigma={first: 0.02, last: 0.1},0.25"}) ==
        Strings{"sigma-first-0.02-last-0.1", "sigma-0.25"});
  CHECK(run.names({"ssa.layers=1,2", "model.layers=2"}) ==
        Strings{"ssa.layers-1_model.layers-2", "ssa.layers-2_model.layers-2"});
  const Strings alike = run.names({"data.name=a/b,a b,a.b"});
  CHECK(std::set<std::string>(alike.begin(), alike.end()).size() == 3);
  CHECK(alike[2] == "name-a.b");
  for (const std::string& name : alike) CHECK(name.find_first_of("/ ") == std::string::npos);
  const std::string first_half(100, 'x');
  const Strings lengthy =
      run.names({"data.name=" + first_half + "a," + first_half + "b",
                 "train.optimizer={lr: 0.001, betas: [0.9, 0.99]},{lr: 0.002}"});
  CHECK(std::set<std::string>(lengthy.begin(), lengthy.end()).size() == 4);
  for (const std::string& name : lengthy) CHECK(name.size() < 140);
}

TEST_CASE("points that would train the same model are trained once", "[sweep]") {
  const GridRun run;
  const SweepGrid grid = run.grid({"ssa.kind=none,local", "ssa.windows=2,4,8"});
  REQUIRE(grid.points.size() == 4);
  CHECK(grid.points[0].name == "kind-none");
  CHECK(grid.points[1].name == "kind-local_windows-2");
  // A line for each point that is kept, not for each that is left out.
  CHECK(grid.notes == Strings{"left out: 2 points that are the same run as ssa.kind=none "
                              "ssa.windows=2, such as ssa.kind=none ssa.windows=4"});
  CHECK(run.grid({"ssa.kind=none,local", "ssa.windows=2,4"}).notes ==
        Strings{"left out: ssa.kind=none ssa.windows=4 is the same run as ssa.kind=none "
                "ssa.windows=2"});
  CHECK(run.names({"train.optimizer.lr=0.01,1.0e-2,0.02"}) ==
        Strings{"optimizer.lr-0.01", "optimizer.lr-0.02"});
  CHECK(run.names({"ssa.kind=unbiased", "ssa.windows=2,4", "ssa.drop=0.5,0.75"}) ==
        Strings{"kind-unbiased_drop-0.5", "kind-unbiased_drop-0.75"});
}

TEST_CASE("a point to which nothing does anything has a name too", "[sweep]") {
  const GridRun run;
  const SweepGrid grid = run.grid({"ssa.windows=2,4,8"}, {"ssa.kind=none"});
  REQUIRE(grid.points.size() == 1);
  CHECK(grid.points[0].name == "the-config");
  CHECK(grid.notes.back() ==
        "what varies does nothing to this config (ssa.kind is none: dense): there is one point");
}

TEST_CASE("all points are checked before any is started, in one message", "[sweep]") {
  const GridRun run;
  const std::string text = run.problem({"ssa.windows=4,5,7", "train.seed=1,2"});
  CHECK(contains(text, "nothing was started: 4 of 6 points have no valid config"));
  CHECK(contains(text, "ssa.windows=5 train.seed=1; ssa.windows=5 train.seed=2:"));
  CHECK(contains(text, "--vary ssa.windows: ssa.windows 5 does not fit"));
  CHECK(contains(text, "ssa.windows 7 does not fit"));
  CHECK_FALSE(contains(text, "--set ssa.windows"));
  CHECK(contains(run.problem({"ssa.windos=2,4"}), "ssa.windows"));  // the nearest valid key
  const std::string all = run.problem({"ssa.windows=2,4"}, {"train.steps=0"});
  CHECK(contains(all, "every point:"));
  CHECK(all.find("--set train.steps") == all.rfind("--set train.steps"));  // told once
  CHECK(contains(run.problem({"ssa.windows=2", "ssa.windows=4"}), "given twice"));
}

TEST_CASE("the manifest tells in what a grid differs from the one before", "[sweep]") {
  const TempDir dir;
  SweepManifest manifest{"a.yaml", {"train.steps=5"}, {{"ssa.windows", {"2", "4"}}}, {"w2", "w4"}};
  CHECK(manifest_differences(dir.path(), manifest).empty());
  write_manifest(dir.path(), manifest);
  CHECK(manifest_differences(dir.path(), manifest).empty());
  manifest.points = {"w4", "w8"};
  manifest.set.clear();
  const Strings differences = manifest_differences(dir.path(), manifest);
  REQUIRE(differences.size() == 3);
  CHECK(contains(differences[0], "train.steps=5"));
  CHECK(contains(differences[1], "w8"));
  CHECK(contains(differences[2], "w2"));
  write_bytes(dir / "sweep.json", "{\"points\": 3");
  CHECK_THROWS_AS(manifest_differences(dir.path(), manifest), CheckpointError);
  write_bytes(dir / "sweep.json", "{\"config\": 3}");
  CHECK_THROWS_AS(manifest_differences(dir.path(), manifest), CheckpointError);
}
