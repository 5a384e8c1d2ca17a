// Which sources the graphs of a batch sample, and the line on which atoms are cut into windows.

#include "tasks/graph_sources.h"

#include <set>

#include "ssa/tasks/rank_draws.h"

#include "tasks/atom_order.h"
#include "tasks/graph_batch.h"
#include "tasks/made_molecules.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kVirtual = 2;

Batch made_batch(const std::vector<int64_t>& numbers, const Config& config) {
  std::vector<Molecule> molecules;
  for (const int64_t number : numbers) molecules.push_back(made_molecule(number));
  return graph_batch(molecules, GraphFormat(config));
}

RngKey training_key(int64_t step, int rank = 0) {
  return {.seed = 5,
          .purpose = RngPurpose::plan,
          .step = static_cast<uint32_t>(step),
          .rank = static_cast<uint16_t>(rank)};
}

RngKey ensemble_key(int64_t first_item, int sample) {
  return {.seed = 5,
          .purpose = RngPurpose::ensemble,
          .step = static_cast<uint32_t>(first_item),
          .rank = static_cast<uint16_t>(sample)};
}

/// The sources of each graph in a layer.
std::vector<std::vector<int32_t>> sources_of(const Batch& batch, int64_t layer) {
  const auto field = [&](const char* name) {
    return batch.field(fmt::format("{}.{}", name, layer)).values<int32_t>();
  };
  const auto sampled = field("sampled"), sources = field("sources"), rows = field("source_rows");
  const auto nodes = batch.field("nodes").values<int32_t>();
  std::vector<std::vector<int32_t>> result;
  for (size_t g = 0; g + 1 < sampled.size(); ++g) {
    result.emplace_back();
    for (auto s = static_cast<size_t>(sampled[g]); s < static_cast<size_t>(sampled[g + 1]); ++s) {
      result.back().push_back(sources[s]);
      REQUIRE(rows[s] == nodes[g] + sources[s]);
    }
  }
  return result;
}

std::vector<std::vector<int32_t>> drawn(const std::vector<int64_t>& numbers, const Config& config,
                                        Use use, const RngKey& key, int64_t layer = 1) {
  Batch batch = made_batch(numbers, config);
  add_sources(batch, config, use, key);
  return sources_of(batch, layer);
}

const std::vector<int64_t> kNumbers = {0, 1, 2, 3, 5, 6, 7};  // 9, 5, 1, 12, 3, 20, 51 atoms

}  // namespace

TEST_CASE("each graph samples exactly its share of atoms, and all virtual nodes") {
  const Config config = molecules_config();
  const auto sources = drawn(kNumbers, config, Use::training, training_key(3));
  const std::vector<size_t> kept = {6, 4, 1, 8, 2, 14, 36};  // round(0.7·n)
  for (size_t g = 0; g < kNumbers.size(); ++g) {
    CAPTURE(g);
    REQUIRE(sources[g].size() == kVirtual + kept[g]);
    CHECK(sources[g][0] == 0);
    CHECK(sources[g][1] == 1);
    for (size_t i = 1; i < sources[g].size(); ++i) CHECK(sources[g][i] > sources[g][i - 1]);
    CHECK(sources[g].back() < kVirtual + made_size(kNumbers[g]));
  }
  // Half of one atom is an atom, less of it is none.
  const Config half = molecules_config({"ssa.drop=0.5"}), most = molecules_config({"ssa.drop=0.6"});
  CHECK(drawn({2}, half, Use::training, training_key(3))[0].size() == kVirtual + 1);
  CHECK(drawn({2}, most, Use::training, training_key(3))[0].size() == kVirtual);
}

TEST_CASE("virtual nodes can be drawn like atoms") {
  const Config config = molecules_config({"ssa.virtual_nodes=sample"});
  int without = 0;
  for (int64_t step = 0; step < 40; ++step) {
    const auto sources = drawn({0, 3}, config, Use::training, training_key(step));
    CHECK(sources[0].size() == 8);   // round(0.7·11)
    CHECK(sources[1].size() == 10);  // round(0.7·14)
    if (sources[0][0] != 0) ++without;
  }
  CHECK(without > 4);
  CHECK(without < 25);
}

TEST_CASE("of virtual nodes and atoms that are drawn together, one is kept at least") {
  const Config config = molecules_config({"ssa.virtual_nodes=sample", "ssa.drop=0.999"});
  for (const auto& kept : drawn(kNumbers, config, Use::training, training_key(1))) {
    CHECK(kept.size() == 1);
  }
}

TEST_CASE("draws differ by layer, step and graph, not by batch mates or rank") {
  const Config config = molecules_config();
  const auto expected = drawn(kNumbers, config, Use::training, training_key(3));
  CHECK(drawn(kNumbers, config, Use::training, training_key(3, 5)) == expected);
  CHECK(drawn({7, 3}, config, Use::training, training_key(3)) ==
        std::vector{expected[6], expected[3]});
  CHECK(drawn(kNumbers, config, Use::training, training_key(4)) != expected);
  CHECK(drawn(kNumbers, config, Use::training, training_key(3), 0) != expected);
  // Molecules 14 and 0 have nine atoms each.
  const auto equal = drawn({0, 14}, config, Use::training, training_key(3));
  CHECK(equal[0] != equal[1]);

  const auto member = drawn({7, 3}, config, Use::evaluation, ensemble_key(40, 2));
  CHECK(drawn({3}, config, Use::evaluation, ensemble_key(8, 2))[0] == member[1]);
  CHECK(drawn({3}, config, Use::evaluation, ensemble_key(8, 3))[0] != member[1]);
}

TEST_CASE("with scope batch, graphs of a size share their draw") {
  const Config config = molecules_config({"ssa.scope=batch"});
  const auto sources = drawn({0, 14, 3}, config, Use::training, training_key(3));
  CHECK(sources[0] == sources[1]);
  CHECK(sources[2].size() == kVirtual + 8);
  CHECK(drawn({0}, config, Use::training, training_key(3))[0] == sources[0]);
  CHECK(drawn({0}, config, Use::training, training_key(3, 1))[0] != sources[0]);
  CHECK(drawn({0}, config, Use::evaluation, ensemble_key(40, 2)) ==
        drawn({0}, config, Use::evaluation, ensemble_key(8, 2)));
}

TEST_CASE("the draws of a step depend on the ranks unless each graph has its own") {
  const auto same_on_both = [](const Config& config) {
    return drawn({0, 3}, config, Use::training, training_key(3, 0)) ==
           drawn({0, 3}, config, Use::training, training_key(3, 1));
  };
  for (const std::string scope : {"sample", "batch"}) {
    CAPTURE(scope);
    const Config config = molecules_config({"ssa.scope=" + scope});
    CHECK(draws_depend_on_ranks(config, 3) == !same_on_both(config));
  }
  Config text;
  CHECK_FALSE(draws_depend_on_ranks(text, 0));
  text.ssa.kind = SsaKind::local;
  CHECK(draws_depend_on_ranks(text, 0));
  text.ssa.finetune_fraction = 0.5;
  CHECK_FALSE(draws_depend_on_ranks(text, text.train.steps / 2));
}

TEST_CASE("every atom is as likely a source") {
  const Config config = molecules_config();
  std::vector<int> counts(12, 0);
  constexpr int kSteps = 3000;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto sources = drawn({3}, config, Use::training, training_key(step));
    for (const int32_t source : sources[0]) {
      if (source >= kVirtual) ++counts[static_cast<size_t>(source - kVirtual)];
    }
  }
  const double share = 8.0 / 12, deviation = std::sqrt(kSteps * share * (1 - share));
  for (const int count : counts) CHECK(std::abs(count - kSteps * share) < 5 * deviation);
}

TEST_CASE("only the last ssa.layers layers sample") {
  const Config config = molecules_config({"ssa.layers=1"});
  Batch batch = made_batch({0}, config);
  add_sources(batch, config, Use::training, training_key(0));
  CHECK(sources_of(batch, 1)[0].size() == 8);
  CHECK_THROWS_AS(batch.field("sampled.0"), ShapeError);
}

TEST_CASE("local sampling joins an atom with those of its window") {
  const Config config = molecules_config({"ssa={kind: local, windows: 3, sigma: 0.0, order: bfs}"});
  // Three rings and chains of 12, 9 and 1 atoms. Without noise the windows are those of the line.
  Batch batch = made_batch({3, 0, 2}, config);
  add_sources(batch, config, Use::training, training_key(0));
  const auto all = std::as_const(batch).field("classes").values<uint8_t>();
  const auto some = std::as_const(batch).field("classes.1").values<uint8_t>();
  const auto line = std::as_const(batch).field("line").values<int32_t>();
  const uint8_t hidden = PairClasses{16, 2}.count();
  size_t first_pair = 0, first_atom = 0;
  for (const size_t atoms : {12, 9, 1}) {
    const size_t nodes = atoms + kVirtual, window = std::max<size_t>(1, atoms / 3);
    for (size_t i = 0; i < nodes; ++i) {
      for (size_t j = 0; j < nodes; ++j) {
        const size_t pair = first_pair + i * nodes + j;
        const bool both_atoms = i >= kVirtual && j >= kVirtual;
        const auto window_of = [&](size_t node) {
          return static_cast<size_t>(line[first_atom + node - kVirtual]) / window;
        };
        const bool hides = both_atoms && window_of(i) != window_of(j);
        REQUIRE(some[pair] == (hides ? hidden : all[pair]));
      }
    }
    first_pair += nodes * nodes;
    first_atom += atoms;
  }
}

TEST_CASE("local sampling with noise shows each atom as many sources as its window has") {
  const Config config = molecules_config({"ssa={kind: local, windows: 4, sigma: 0.3, order: rcm}"});
  Batch batch = made_batch({0}, config), later = batch;  // nine atoms: windows of 3, 2, 2, 2
  add_sources(batch, config, Use::training, training_key(0));
  add_sources(later, config, Use::training, training_key(1));
  const auto classes = std::as_const(batch).field("classes.0").values<uint8_t>();
  const uint8_t hidden = PairClasses{16, 2}.count();
  std::multiset<int> visible;
  for (size_t i = kVirtual; i < 11; ++i) {
    int count = 0;
    for (size_t j = kVirtual; j < 11; ++j) count += classes[i * 11 + j] != hidden;
    visible.insert(count);
  }
  CHECK(visible == std::multiset<int>{2, 2, 2, 2, 2, 2, 3, 3, 3});
  CHECK_FALSE(batch.field("classes.0") == later.field("classes.0"));
  CHECK_FALSE(std::ranges::equal(classes, batch.field("classes.1").values<uint8_t>()));
}

TEST_CASE("atoms stand on a line near those that they have bonds with") {
  const auto molecule = [](int64_t atoms, const std::vector<std::pair<int, int>>& bonds) {
    Molecule result;
    result.atoms = atoms;
    for (const auto& [a, b] : bonds) {
      result.bonds.push_back({static_cast<uint16_t>(a), static_cast<uint16_t>(b), {}});
    }
    return result;
  };
  using Line = std::vector<int32_t>;
  // A chain 1-3-0-4-2 begins in its middle, or at an end.
  const Molecule chain = molecule(5, {{1, 3}, {0, 3}, {0, 4}, {2, 4}});
  CHECK(atoms_in_order(chain, AtomOrder::bfs) == Line{0, 3, 4, 1, 2});
  CHECK(atoms_in_order(chain, AtomOrder::rcm) == Line{2, 4, 0, 3, 1});
  // A star with a tail: neighbours with fewer bonds come first.
  const Molecule star = molecule(5, {{0, 1}, {0, 2}, {0, 3}, {2, 4}});
  CHECK(atoms_in_order(star, AtomOrder::bfs) == Line{0, 1, 2, 3, 4});
  CHECK(atoms_in_order(star, AtomOrder::rcm) == Line{4, 2, 3, 0, 1});
  // Two parts, and an atom without bonds.
  const Molecule parts = molecule(5, {{0, 3}, {1, 4}});
  CHECK(atoms_in_order(parts, AtomOrder::bfs) == Line{0, 3, 1, 4, 2});
  CHECK(atoms_in_order(parts, AtomOrder::rcm) == Line{4, 1, 3, 0, 2});
  CHECK(atoms_in_order(molecule(0, {}), AtomOrder::rcm).empty());
}
