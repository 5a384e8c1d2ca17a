// Molecules as batches, their order and signs, scores, and what a config may say.

#include "ssa/tasks/graph_regression.h"

#include <set>

#include <nlohmann/json.hpp>

#include "ssa/tasks/cost.h"
#include "ssa/tasks/load.h"
#include "ssa/tasks/metric.h"

#include "tasks/graph_batch.h"
#include "tasks/made_molecules.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

template <class T>
std::vector<T> listed(const Batch& batch, const char* name) {
  const auto values = batch.field(name).values<T>();
  return {values.begin(), values.end()};
}

/// Acetaldehyde, CC=O, with two numbers that encode each atom.
Molecule acetaldehyde() {
  Molecule molecule;
  molecule.idx = 7;
  molecule.atoms = 3;
  molecule.atom_features = {5, 0, 4, 5, 3, 0, 2, 0, 0,   // CH3
                            5, 0, 3, 5, 1, 0, 1, 0, 0,   // CH
                            7, 0, 1, 5, 0, 0, 1, 0, 0};  // O
  molecule.bonds = {{0, 1, {0, 0, 0}}, {1, 2, {1, 0, 0}}};
  molecule.encodings.assign(24, 0.0F);
  for (size_t atom = 0; atom < 3; ++atom) {
    molecule.encodings[atom * 8] = static_cast<float>(atom) + 1;
    molecule.encodings[atom * 8 + 1] = static_cast<float>(atom) - 0.5F;
  }
  molecule.signs = {1, -1, 1, 1, 1, 1, 1, 1};
  molecule.target = 6.25F;
  return molecule;
}

std::string problem(const std::string& model) {
  return message_of<ConfigError>([&] {
    parse_config("task: graph_regression\ndata: {path: d}\nmodel: " + model + "\n", "c.yaml", {},
                 [](ConfigCheck& check) { check_task(check); });
  });
}

}  // namespace

TEST_CASE("a molecule's fields are those that were worked out by hand") {
  const Config config = molecules_config({"model.egt.svd_rank=2", "model.egt.hops=2"});
  const std::vector<Molecule> molecules = {acetaldehyde(), made_molecule(2)};
  REQUIRE(molecules[1].atoms == 1);
  const Batch batch = graph_batch(molecules, GraphFormat(config));
  CHECK(batch.examples() == 2);
  CHECK(listed<int32_t>(batch, "nodes") == std::vector<int32_t>{0, 5, 8});
  CHECK(listed<int32_t>(batch, "pairs") == std::vector<int32_t>{0, 25, 34});
  CHECK(listed<int32_t>(batch, "positions") == std::vector<int32_t>{0, 1, 2, 3, 4, 0, 1, 2});
  CHECK(listed<int32_t>(batch, "virtual_rows") == std::vector<int32_t>{0, 1, 5, 6});
  CHECK(listed<int32_t>(batch, "virtual_ids") == std::vector<int32_t>{0, 1, 0, 1});
  CHECK(listed<int32_t>(batch, "atom_rows") == std::vector<int32_t>{2, 3, 4, 7});
  CHECK(listed<int32_t>(batch, "graph") == std::vector<int32_t>{7, 1002});
  CHECK(listed<float>(batch, "target")[0] == 6.25F);
  CHECK(batch.field("atoms").shape() == Shape{4, 9});
  const std::vector<int32_t> atoms = listed<int32_t>(batch, "atoms");
  // 1 + 128·feature + value
  CHECK(std::vector<int32_t>(atoms.begin(), atoms.begin() + 9) ==
        std::vector<int32_t>{6, 129, 261, 390, 516, 641, 771, 897, 1025});
  // u and v of each component side by side; the second eigenvalue is negative.
  CHECK(batch.field("encodings").shape() == Shape{4, 4});
  const std::vector<float> encodings = listed<float>(batch, "encodings");
  CHECK(std::vector<float>(encodings.begin(), encodings.begin() + 8) ==
        std::vector<float>{1, 1, -0.5F, 0.5F, 2, 2, 0.5F, -0.5F});
  // Classes with 2 hops: 0 itself, 1 at distance 2, 2 farther, 3 single and 15 double bond, 63 and
  // 64 with a virtual node, 65 … 67 of two.
  const std::vector<uint8_t> classes = listed<uint8_t>(batch, "classes");
  CHECK(std::vector<uint8_t>(classes.begin(), classes.begin() + 25) ==
        std::vector<uint8_t>{65, 66, 63, 63, 63,  //
                             66, 67, 64, 64, 64,  //
                             63, 64, 0,  3,  1,   //
                             63, 64, 3,  0,  15,  //
                             63, 64, 1,  15, 0});
}

TEST_CASE("each epoch has all molecules in an order of its own") {
  const Config config = molecules_config();
  const auto data = make_molecules_task(config)->open_data();
  const auto training = data->training(config);
  REQUIRE(training->examples_per_epoch() == 96);
  std::vector<std::vector<int32_t>> orders;
  for (const int64_t epoch : {0, 1}) {
    orders.push_back(listed<int32_t>(training->batch(96 * epoch, 96), "graph"));
    const std::set<int32_t> seen(orders.back().begin(), orders.back().end());
    CHECK(seen.size() == 96);
    CHECK(*seen.begin() == 1000);
    CHECK(*seen.rbegin() == 1095);
  }
  CHECK(orders[0] != orders[1]);
  CHECK(training->batch(0, 96) == data->training(config)->batch(0, 96));
  // A batch may span two epochs.
  const std::vector<int32_t> across = listed<int32_t>(training->batch(94, 4), "graph");
  CHECK(across == std::vector<int32_t>{orders[0][94], orders[0][95], orders[1][0], orders[1][1]});
}

TEST_CASE("training flips whole components of a molecule's encoding, evaluation none") {
  const Config config = molecules_config();
  const auto data = make_molecules_task(config)->open_data();
  const auto training = data->training(config);
  int flipped = 0, kept = 0;
  std::set<std::vector<bool>> patterns;
  for (int64_t number = 0; number < 3 * 96; ++number) {
    const Batch batch = training->batch(number, 1);
    const Molecule molecule = made_molecule(listed<int32_t>(batch, "graph")[0] - 1000);
    const std::vector<float> encodings = listed<float>(batch, "encodings");
    std::vector<bool> signs;
    for (size_t k = 0; k < 8 && static_cast<int64_t>(k) < molecule.atoms; ++k) {
      const bool flip = (encodings[2 * k] < 0) != (molecule.encodings[k] < 0);
      signs.push_back(flip);
      ++(flip ? flipped : kept);
      for (size_t atom = 0; atom < static_cast<size_t>(molecule.atoms); ++atom) {
        const float left = (flip ? -1.0F : 1.0F) * molecule.encodings[atom * 8 + k];
        REQUIRE(encodings[atom * 16 + 2 * k] == left);
        REQUIRE(encodings[atom * 16 + 2 * k + 1] == left * molecule.signs[k]);
      }
    }
    patterns.insert(signs);
  }
  CHECK(flipped + kept == Approx(2 * flipped).epsilon(0.1));
  CHECK(patterns.size() > 50);

  const Batch scored = data->evaluation(config, Split::valid, 0)->batch(0, 1);
  CHECK(listed<float>(scored, "encodings")[0] == made_molecule(96).encodings[0]);
}

TEST_CASE("each molecule of a split is scored once, by its distance from the target") {
  const Config config = molecules_config();
  const auto data = make_molecules_task(config)->open_data();
  const auto set = data->evaluation(config, Split::valid, 0);
  CHECK(set->items() == 22);
  CHECK(set->total_terms() == 22);
  CHECK(data->evaluation(config, Split::valid, 9)->items() == 9);
  CHECK(data->evaluation(config, Split::test, 0)->items() == 5);
  CHECK(set->averaging() == Averaging::values);
  const double target = made_molecule(96 + 4).target;
  CHECK(set->score(4, std::vector<double>{target - 0.25}).loss == 0.25);
  CHECK(traits_of(TaskKind::graph_regression).metric().key == "mae");
  CHECK(contains(data->description().front(), "123 molecules"));
  CHECK(contains(
      message_of<DivergedError>([&] { set->prediction(4, std::vector<double>{std::nan("")}); }),
      "the prediction for molecule 1100"));
}

TEST_CASE("splits without molecules are refused") {
  const Config config = molecules_config();
  const GraphRegressionData data(made_molecules(10, 0, 5));
  CHECK(contains(message_of<DataError>([&] { data.evaluation(config, Split::valid, 0); }),
                 "has no valid molecules"));
  const GraphRegressionData nothing(made_molecules(0, 5, 0));
  CHECK(contains(message_of<DataError>([&] { nothing.training(config); }), "to train on"));
}

TEST_CASE("a molecule without a target is predicted and not scored") {
  MoleculeReader molecules = made_molecules(10, 0, 5);
  molecules.read = [](int64_t number) {
    Molecule molecule = made_molecule(number);
    if (number == 12) molecule.target = std::numeric_limits<float>::quiet_NaN();
    return molecule;
  };
  const GraphRegressionData data(molecules);
  const auto set = data.evaluation(molecules_config(), Split::test, 0);
  CHECK(set->items() == 5);
  CHECK(set->total_terms() == 4);
  CHECK(set->terms(1) == 1);
  CHECK(set->terms(2) == 0);
  const std::vector<double> prediction = {1.5};
  CHECK(set->score(2, prediction).loss == 0);
  CHECK(set->prediction_line({2, prediction}) ==
        R"({"index":1012,"prediction":1.5,"target":null})");
}

TEST_CASE("a molecule's line has its idx, and of an ensemble the spread") {
  const auto data = make_molecules_task(molecules_config())->open_data();
  const auto set = data->evaluation(molecules_config(), Split::valid, 0);
  const std::vector<double> prediction = {0.25};
  const Spread spread{{0.125}, {}};
  const nlohmann::json line = nlohmann::json::parse(set->prediction_line({3, prediction, &spread}));
  CHECK(line == nlohmann::json{{"index", 1099},
                               {"prediction", 0.25},
                               {"target", made_molecule(99).target},
                               {"spread", 0.125}});
}

TEST_CASE("a config with more classes of pairs than a byte numbers is refused") {
  CHECK(problem("{egt: {hops: 128, virtual_nodes: 16}}") ==
        "c.yaml:3: model.egt.virtual_nodes: 16 virtual nodes and 128 hops make 341 classes of "
        "pairs; at most 256 are possible: lower either");
  CHECK(parse_config("task: graph_regression\ndata: {path: d}\nmodel: {egt: {hops: 128}}\n",
                     "c.yaml", {}, [](ConfigCheck& check) { check_task(check); })
            .model.egt.hops == 128);
  // However much is dropped, virtual nodes remain.
  CHECK_NOTHROW(
      parse_config("task: graph_regression\ndata: {path: d}\n"
                   "ssa: {kind: unbiased, drop: 0.99}\n",
                   "c.yaml", {}, [](ConfigCheck& check) { check_task(check); }));
}

TEST_CASE("a report shows no more windows than a molecule has atoms") {
  const MadeMoleculesTask task(molecules_config({"ssa={kind: local, windows: 90, sigma: 0.2}"}));
  const PlanSpec spec = task.plan_specs(Sources::sampled, Use::training).back();
  CHECK(spec.windows == 14);
  CHECK(spec.positions == 14);
}

TEST_CASE("compute ratios of PCQM4Mv2 are those of the paper's Table 3") {
  Config config;
  config.task = TaskKind::graph_regression;
  config.model.layers = 6;
  config.model.width = config.model.ffn_width = 512;
  config.model.heads = 32;
  config.model.activation = ActivationKind::elu;
  config.train.steps = 1000;
  config.ssa.kind = SsaKind::unbiased;
  CHECK(parameter_count(config) == 11411009);
  for (const auto& [drop, ratio] :
       {std::pair{0.1, 0.96}, {0.2, 0.93}, {0.3, 0.89}, {0.4, 0.86}, {0.5, 0.82}}) {
    CAPTURE(drop);
    config.ssa.drop = drop;
    config.ssa.finetune_fraction = 0;
    const TrainingCost cost = training_cost(config);
    CHECK(cost.compute_ratio == Approx(ratio).margin(0.005));
    CHECK(cost.forward_flop_per_token < cost.dense_forward_flop_per_token);
    config.ssa.finetune_fraction = 0.1;
    CHECK(training_cost(config).compute_ratio ==
          Approx(0.9 * cost.compute_ratio + 0.1).epsilon(1e-12));
  }
  config.ssa.kind = SsaKind::none;
  CHECK(training_cost(config).compute_ratio == 1.0);
}
