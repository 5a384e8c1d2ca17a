#include "ssa/sweep/scored_split.h"

#include <limits>

#include "data/molecule_folder.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::vector<SweepPoint> points(const std::vector<Config>& configs) {
  std::vector<SweepPoint> result;
  for (const Config& config : configs) result.emplace_back().config = config;
  return result;
}

/// Molecules in three splits, the test split with or without all of its targets.
Config molecules(const std::string& folder, bool with_targets) {
  std::array<std::vector<Molecule>, 3> splits;
  for (uint64_t i = 0; i < 6; ++i) {
    splits[i / 2].push_back(random_molecule(3 + static_cast<int64_t>(i), 0.3, 50 + i));
  }
  if (!with_targets) splits[2][1].target = std::numeric_limits<float>::quiet_NaN();
  write_molecules(folder, splits);
  return parse_config("task: graph_regression\ndata: {path: " + folder + "}\n", "molecules.yaml");
}

}  // namespace

TEST_CASE("a sweep is scored on the test split where that has targets", "[sweep]") {
  const TinyRun run;
  const Config text = run.config(), complete = molecules(run.dir / "complete", true),
               part = molecules(run.dir / "part", false);
  CHECK(split_to_score(points({text})) == Split::test);
  CHECK(split_to_score(points({complete})) == Split::test);
  CHECK(split_to_score(points({part})) == Split::valid);
  CHECK(split_to_score(points({complete, part})) == Split::valid);
  Config elsewhere = text;
  elsewhere.data.path = run.dir / "not_here";
  CHECK(split_to_score(points({elsewhere})) == Split::test);
}
