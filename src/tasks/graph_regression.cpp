#include "ssa/tasks/graph_regression.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ssa/config/config_check.h"
#include "ssa/data/data_name.h"
#include "ssa/data/permutation.h"
#include "ssa/models/activation.h"
#include "ssa/models/precision.h"
#include "ssa/tasks/regression_analysis.h"

#include "tasks/graph_batch.h"
#include "tasks/graph_sources.h"

namespace ssa {

namespace {

/// Molecules of PCQM4Mv2 have 14 atoms in the mean, which is what memory and speed depend on.
constexpr int64_t kMeanAtoms = 14;
/// Nodes of a padded graph. With any number from 34 to 37, the compute ratios of Table 3 come out.
constexpr int64_t kPaddedNodes = 36;

/// Changes the sign of each component of the encodings with probability 1/2: eigenvectors have no
/// sign of their own. Of the whole molecule, since a sign per atom would be another encoding.
void flip_signs(Molecule& molecule, const RngKey& key) {
  const uint32_t word = key.words(static_cast<uint32_t>(molecule.idx))[0];
  for (size_t i = 0; i < molecule.encodings.size(); ++i) {
    if (word >> (i % static_cast<size_t>(kEncodingRank)) & 1) {
      molecule.encodings[i] = -molecule.encodings[i];
    }
  }
}

class MoleculeTraining : public TrainingSet {
 public:
  MoleculeTraining(const MoleculeReader& molecules, const Config& config)
      : molecules_(molecules),
        format_(config),
        seed_(config.train.seed),
        range_(molecules.info.splits[static_cast<size_t>(Split::train)]) {
    if (range_.size() == 0) {
      throw DataError("data.path '{}' has no molecules to train on", molecules.path);
    }
  }

  int64_t examples_per_epoch() const override { return range_.size(); }

  Batch batch(int64_t first, int64_t count) const override {
    std::vector<Molecule> molecules;
    for (int64_t number = first; number < first + count; ++number) {
      const auto [epoch, chosen] = epoch_item(number, range_.size(), seed_);
      molecules.push_back(molecules_.read(range_.begin + chosen));
      flip_signs(molecules.back(), {.seed = seed_,
                                    .purpose = RngPurpose::augmentation,
                                    .step = static_cast<uint32_t>(epoch)});
    }
    return graph_batch(molecules, format_);
  }

 private:
  MoleculeReader molecules_;
  GraphFormat format_;
  uint64_t seed_;
  TokenRange range_;
};

/// Molecules as they are, each an item of one term; of none where it has no target.
class MoleculeEvaluation : public EvalSet {
 public:
  MoleculeEvaluation(const MoleculeReader& molecules, const Config& config, TokenRange range)
      : molecules_(molecules),
        format_(config),
        range_(range),
        batch_(config.eval.batch_size > 0 ? config.eval.batch_size : config.train.micro_batch) {
    for (int64_t number = range.begin; number < range.end; ++number) {
      const Molecule molecule = molecules_.read(number);
      items_.push_back({molecule.idx, molecule.target});
      if (items_.back().has_target()) ++with_target_;
    }
  }

  int64_t items() const override { return range_.size(); }
  int64_t terms(int64_t item) const override { return of(item).has_target() ? 1 : 0; }
  int64_t total_terms() const override { return with_target_; }
  Batch batch(int64_t first, int64_t count) const override {
    std::vector<Molecule> molecules;
    for (int64_t item = first; item < first + count; ++item) {
      molecules.push_back(molecules_.read(range_.begin + item));
    }
    return graph_batch(molecules, format_);
  }
  /// Draws do not depend on the batch: it only has to fit into memory.
  int64_t items_per_draw() const override { return std::max<int64_t>(1, batch_); }
  Averaging averaging() const override { return Averaging::values; }
  std::vector<double> prediction(int64_t item, std::span<const double> predicted) const override {
    if (std::isfinite(predicted[0])) return {predicted[0]};
    throw DivergedError("the prediction for molecule {} of data.path '{}' is {}", of(item).idx,
                        molecules_.path, predicted[0]);
  }
  Score score(int64_t item, std::span<const double> prediction) const override {
    if (!of(item).has_target()) return {};
    return {std::abs(prediction[0] - of(item).target), {}};
  }
  std::string prediction_line(const ItemPrediction& prediction) const override {
    return regression_line(prediction, of(prediction.item));
  }
  std::unique_ptr<Analysis> analysis() const override {
    return std::make_unique<RegressionAnalysis>(items_);
  }

 private:
  const RegressionItem& of(int64_t item) const { return items_[static_cast<size_t>(item)]; }

  MoleculeReader molecules_;
  GraphFormat format_;
  TokenRange range_;
  int64_t batch_;
  std::vector<RegressionItem> items_;
  int64_t with_target_ = 0;
};

/// A chain of atoms with a ring at its end.
Molecule typical_molecule(int64_t atoms, int64_t number) {
  Molecule molecule;
  molecule.idx = number;
  molecule.atoms = atoms;
  molecule.atom_features.assign(static_cast<size_t>(atoms * kAtomFeatures), 1);
  molecule.encodings.assign(static_cast<size_t>(atoms * kEncodingRank), 0.1F);
  molecule.signs.fill(1);
  molecule.target = 5;
  for (int64_t atom = 1; atom < atoms; ++atom) {
    molecule.bonds.push_back(
        {static_cast<uint16_t>(atom - 1), static_cast<uint16_t>(atom), {0, 0, 0}});
  }
  if (atoms > 6) {
    molecule.bonds.push_back(
        {static_cast<uint16_t>(atoms - 6), static_cast<uint16_t>(atoms - 1), {0, 0, 0}});
  }
  return molecule;
}

int64_t sampled_layers(const Config& config) {
  if (config.ssa.kind == SsaKind::none) return 0;
  return config.ssa.layers == 0 ? config.model.layers : config.ssa.layers;
}

}  // namespace

EgtShape egt_shape(const ModelConfig& model) {
  const PairClasses classes{.hops = model.egt.hops, .virtual_nodes = model.egt.virtual_nodes};
  EgtShape shape;
  shape.layers = model.layers;
  shape.width = model.width;
  shape.ffn_width = model.ffn_width;
  shape.heads = model.heads;
  shape.edge_width = model.egt.edge_width;
  shape.virtual_nodes = model.egt.virtual_nodes;
  shape.distance_rows = classes.distances();
  shape.encoding = 2 * model.egt.svd_rank;
  for (const PairRows& rows : classes.rows()) {
    EgtPairClass& pair = shape.pair_classes.emplace_back();
    if (rows.distance >= 0) pair.distances = {rows.distance};
    if (rows.bond[0] > 0) pair.bonds.assign(rows.bond.begin(), rows.bond.end());
    if (rows.distance < 0) {
      pair.virtual_nodes.assign(rows.virtual_nodes.begin(), rows.virtual_nodes.end());
    }
  }
  shape.logit_clip = model.egt.logit_clip;
  shape.degree_scaling = model.egt.degree_scaling;
  shape.activation = to_activation(model.activation);
  shape.dropout = model.dropout;
  shape.attention_dropout = model.attention_dropout;
  shape.activation_dropout = model.activation_dropout;
  return shape;
}

std::unique_ptr<Egt> GraphRegressionTask::make_egt(ParameterStore& store) const {
  auto egt = std::make_unique<Egt>(egt_shape(config().model), store);
  egt->set_precision(to_dtype(config().train.precision));
  egt->set_activation_checkpointing(config().train.activation_checkpointing);
  return egt;
}

std::unique_ptr<Model> GraphRegressionTask::make_model(ParameterStore& store) const {
  return make_egt(store);
}

std::vector<PlanSpec> GraphRegressionTask::plan_specs(Sources sources, Use /*use*/) const {
  const SsaConfig& ssa = config().ssa;
  PlanSpec dense;
  dense.positions = kMeanAtoms;
  std::vector<PlanSpec> specs(static_cast<size_t>(config().model.layers), dense);
  if (sources == Sources::all) return specs;
  const int64_t sampled = sampled_layers(config());
  for (int64_t i = 0; i < sampled; ++i) {
    const double along =
        sampled > 1 ? static_cast<double>(i) / static_cast<double>(sampled - 1) : 0.0;
    PlanSpec& spec = specs[specs.size() - static_cast<size_t>(sampled - i)];
    spec.kind = ssa.kind == SsaKind::local ? PlanKind::local_1d : PlanKind::unbiased;
    spec.drop = std::min(ssa.drop, 1 - 1 / static_cast<double>(kMeanAtoms));
    // A plan has windows of one size, so that a report shows a molecule that they divide.
    spec.windows = ssa.kind == SsaKind::local ? std::min(ssa.windows, kMeanAtoms) : 1;
    spec.positions = (kMeanAtoms + spec.windows - 1) / spec.windows * spec.windows;
    spec.sigma = ssa.sigma.first + along * (ssa.sigma.last - ssa.sigma.first);
  }
  return specs;
}

std::vector<SourcePlan> GraphRegressionTask::draw(std::vector<Batch>& micro_batches,
                                                  Sources sources, Use use,
                                                  const RngKey& key) const {
  if (sources == Sources::all) return {};
  for (Batch& batch : micro_batches) add_sources(batch, config(), use, key);
  return {};
}

void GraphRegressionTask::check(ConfigCheck& check) const {
  const EgtConfig& egt = config().model.egt;
  if (check.usable({"model.egt.hops", "model.egt.virtual_nodes", "ssa.kind"})) {
    PairClasses classes{.hops = egt.hops, .virtual_nodes = egt.virtual_nodes};
    const int64_t most = config().ssa.kind == SsaKind::local ? 255 : 256;  // one hides pairs
    if (classes.count() > most) {
      check.fail({"model.egt.virtual_nodes", "model.egt.hops"},
                 fmt::format("{} virtual nodes and {} hops make {} classes of pairs; at most {} "
                             "are possible: lower either",
                             egt.virtual_nodes, egt.hops, classes.count(), most));
    }
  }
  Task::check(check);
}

Batch GraphRegressionTask::typical_batch(int64_t examples) const {
  std::vector<Molecule> molecules;
  for (int64_t i = 0; i < examples; ++i) {
    molecules.push_back(typical_molecule(kMeanAtoms - 4 + i * 5 % 9, i));
  }
  if (examples == 1) molecules = {typical_molecule(kMeanAtoms, 0)};
  return graph_batch(molecules, GraphFormat(config()));
}

std::optional<double> GraphRegressionTask::stated_ratio() const {
  const ModelConfig& model = config().model;
  const SsaConfig& ssa = config().ssa;
  const auto width = static_cast<double>(model.width), ffn = static_cast<double>(model.ffn_width);
  const auto nodes = static_cast<double>(kPaddedNodes);
  const auto virtual_nodes = static_cast<double>(model.egt.virtual_nodes);
  const double atoms = nodes - virtual_nodes;
  const double pair_width = static_cast<double>(model.egt.edge_width * model.heads);
  // Query, output and feed-forward part of all nodes; key and value of the sources; logits,
  // weighted sum, pair bias and gate of each pair.
  const auto layer = [&](double sources, double pairs) {
    return 4 * nodes * width * (width + ffn) + 4 * sources * width * width +
           4 * pairs * (width + pair_width);
  };
  const double head = 2 * (virtual_nodes * width * width + width * width + width);
  const double dense = layer(nodes, nodes * nodes);
  double sampled = dense;
  if (ssa.kind == SsaKind::unbiased) {
    const bool keep = ssa.virtual_nodes == VirtualNodes::keep;
    const double drawn = (1 - ssa.drop) * (keep ? atoms : nodes);
    const double sources = drawn + (keep ? virtual_nodes : 0);
    sampled = layer(sources, nodes * sources);
  } else if (ssa.kind == SsaKind::local) {
    const double windows = std::min(static_cast<double>(ssa.windows), atoms);
    sampled = layer(nodes, nodes * nodes - atoms * atoms * (1 - 1 / windows));
  }
  const auto layers = static_cast<double>(model.layers);
  const auto sampling = static_cast<double>(sampled_layers(config()));
  return (head + sampling * sampled + (layers - sampling) * dense) / (head + layers * dense);
}

std::unique_ptr<TaskData> GraphRegressionTask::open_data() const {
  return std::make_unique<GraphRegressionData>(MoleculeReader::open(config().data.path));
}

MoleculeReader MoleculeReader::open(const std::string& folder) {
  const Molecules molecules = Molecules::open(folder);
  return {molecules.info(), molecules.path(),
          [molecules](int64_t number) { return molecules.molecule(number); }};
}

DataIdentity GraphRegressionData::identity() const {
  return {.bytes = molecules_.info.bytes,
          .checksum = molecules_.info.checksum,
          .name = name_of_prepared(molecules_.info.name, path()),
          .path = std::filesystem::absolute(path()).lexically_normal().string()};
}

Config GraphRegressionData::settled(Config config) const {
  config.data.name = settled_name(config.data.name, identity().name);
  return config;
}

std::vector<std::string> GraphRegressionData::description() const {
  const MoleculesInfo& info = molecules_.info;
  return {fmt::format("data {}: {} molecules of up to {} atoms ({} train, {} valid, {} test), {}",
                      path(), info.molecules(), info.largest, info.split_size(Split::train),
                      info.split_size(Split::valid), info.split_size(Split::test),
                      info.split_description())};
}

std::unique_ptr<TrainingSet> GraphRegressionData::training(const Config& config) const {
  return std::make_unique<MoleculeTraining>(molecules_, config);
}

std::unique_ptr<EvalSet> GraphRegressionData::evaluation(const Config& config, Split split,
                                                         int64_t most_terms) const {
  TokenRange range = molecules_.info.splits[static_cast<size_t>(split)];
  if (range.size() == 0) {
    const MoleculesInfo& info = molecules_.info;
    throw DataError("data.path '{}' has no {} molecules: it has {} train, {} valid and {} test",
                    path(), name(split), info.split_size(Split::train),
                    info.split_size(Split::valid), info.split_size(Split::test));
  }
  if (most_terms > 0) range.end = std::min(range.end, range.begin + most_terms);
  return std::make_unique<MoleculeEvaluation>(molecules_, config, range);
}

}  // namespace ssa
