#include <catch2/catch.hpp>

#include "ssa/report/report.h"

#include "report/report_test_support.h"
#include "report/scores.h"

using namespace ssa;
using namespace ssa::report;
using namespace ssa::testing;

namespace {

/// A run with a score of the test split.
std::string scored(const TempDir& folder, const std::string& name, const std::string& ssa, int seed,
                   double score) {
  std::string config = tiny_config(ssa);
  config.replace(config.find("steps: 100"), 10, fmt::format("seed: {}, steps: 100", seed));
  const std::string dir = make_run(folder, name, config);
  write_bytes(dir + "/eval-renorm-test.json",
              fmt::format(R"({{"mode":"renorm","split":"test","samples":1,"step":100,"tokens":500,)"
                          R"("loss":2,"bits_per_byte":{}}})",
                          score));
  return dir;
}

std::string local(int windows, double sigma) {
  return fmt::format("kind: local, layers: 1, windows: {}, sigma: {}", windows, sigma);
}

}  // namespace

TEST_CASE("a sweep has a chart for each key, with seeds as mean and spread") {
  const TempDir folder;
  std::vector<std::string> dirs = {scored(folder, "dense", "kind: none", 1, 2.5)};
  for (const int windows : {2, 4, 8}) {
    for (const double sigma : {0.1, 0.3}) {
      for (const int seed : {1, 2}) {
        // The best point is that of 4 windows and σ 0.3.
        const double score = 3 - (windows == 4 ? 0.5 : 0) - sigma + (seed == 1 ? -0.01 : 0.01);
        dirs.push_back(scored(folder, fmt::format("w{}_{}_{}", windows, sigma, seed),
                              local(windows, sigma), seed, score));
      }
    }
  }
  const std::string page = render_report(dirs);
  const std::string sweep = part(page, "sweep");
  CHECK(contains(sweep, "Against ssa.windows"));
  CHECK(contains(sweep, "Against ssa.sigma<"));
  CHECK_FALSE(contains(sweep, "Against train.seed"));
  CHECK_FALSE(contains(sweep, "ssa.sigma.last"));
  CHECK(count(sweep, "class=\"best\"") == 2);
  CHECK(count(sweep, "class=\"whisker ") == 12);  // 3 · 2 points in each of two charts
  CHECK(contains(sweep, "sigma 0.3: 2.200 ± 0.014 at 4"));
  CHECK(contains(sweep, ">dense</text>"));
  CHECK(contains(sweep, "Lower is better"));
  // The ranking begins with the best, and puts the seeds together.
  const size_t best = sweep.find("2.200 ± 0.014</td><td>2</td>");
  CHECK(best < sweep.find("2.400 ± 0.014</td>"));
  CHECK(contains(page, "w4_0.3_1, w4_0.3_2"));
  check_self_contained(page);
}

TEST_CASE("a page of runs that are no sweep has no charts of one") {
  const TempDir folder;
  const std::string a = scored(folder, "a", "kind: none", 1, 2.5);
  const std::string b = scored(folder, "b", local(4, 0.1), 1, 2.25);
  CHECK(part(render_report({a, b}), "sweep").empty());
}

TEST_CASE("the common score is the one that most runs have, over the same terms") {
  const TempDir folder;
  const std::string a = scored(folder, "a", local(2, 0.1), 1, 2.5);
  const std::string b = scored(folder, "b", local(4, 0.1), 1, 2.25);
  const std::string c = make_run(folder, "c", tiny_config(local(8, 0.1)));
  CommonScore score = common_score(load_runs({a, b}));
  CHECK(score.name == "test bits per byte, renorm");
  CHECK(score.best() == 1u);
  score = common_score(load_runs({a, b, c}));
  CHECK(score.name == "validation bits per byte");
  write_bytes(b + "/eval-renorm-test.json",
              R"({"mode":"renorm","split":"test","tokens":64,"loss":2,"bits_per_byte":1.5})");
  score = common_score(load_runs({a, b}));  // so that both have one again
  CHECK(score.name == "validation bits per byte");
}

TEST_CASE("runs that differ in the seed only share a style, unless nothing else differs") {
  const TempDir folder;
  const std::string a = scored(folder, "a", local(2, 0.1), 1, 2.5);
  const std::string b = scored(folder, "b", local(2, 0.1), 2, 2.25);
  const std::string c = scored(folder, "c", "kind: none", 1, 2.25);
  std::vector<Run> runs = load_runs({a, b, c});
  CHECK((runs[0].style == 0 && runs[1].style == 0 && runs[2].style == 1));
  runs = load_runs({a, b});
  CHECK((runs[0].style == 0 && runs[1].style == 1));
  std::string config = tiny_config(local(2, 0.1));  // bookkeeping does not tell runs apart
  config.replace(config.find("steps: 100"), 10,
                 "seed: 2, steps: 100, keep_best: true, log_every: 1, micro_batch: 1");
  write_bytes(b + "/config.yaml", config);
  runs = load_runs({a, b, c});
  CHECK((runs[0].style == 0 && runs[1].style == 0 && runs[2].style == 1));
}
