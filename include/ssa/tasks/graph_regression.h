#pragma once

#include <functional>
#include <string>

#include "ssa/data/molecules.h"
#include "ssa/models/egt.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Predicting a number for each molecule, from its graph, with EGT-Simple (Hussain et al. 2022).
///
/// An example is a molecule, and so is a term of the loss, |prediction - target| in the target's
/// unit: eV for PCQM4Mv2. Targets are not normalised. The fields of a batch are those of Egt.
class GraphRegressionTask : public Task {
 public:
  explicit GraphRegressionTask(const Config& config) : Task(config) {}

  int64_t terms_per_example() const override { return 1; }
  std::unique_ptr<Model> make_model(ParameterStore& store) const override;
  std::unique_ptr<Egt> make_egt(ParameterStore& store) const;
  /// Of a molecule of the mean size, for reports: draw() looks at the sizes of the graphs.
  std::vector<PlanSpec> plan_specs(Sources sources, Use use) const override;
  /// Adds the sources of the layers that sample to the batches. Returns no plans.
  std::vector<SourcePlan> draw(std::vector<Batch>& micro_batches, Sources sources, Use use,
                               const RngKey& key) const override;
  void check(ConfigCheck& check) const override;
  /// Made-up molecules as large as those of PCQM4Mv2 are in the mean.
  Batch typical_batch(int64_t examples) const override;
  /// By the formula of the paper's Table 3, which computes pair terms for all pairs, of graphs that
  /// are padded to the size of the largest in a batch.
  std::optional<double> stated_ratio() const override;
  std::unique_ptr<TaskData> open_data() const override;
};

/// Sizes of the model of a config.
EgtShape egt_shape(const ModelConfig& model);

/// Molecules with their targets in three splits: a prepared folder, or some made in memory.
struct MoleculeReader {
  MoleculesInfo info;
  std::string path;
  std::function<Molecule(int64_t)> read;  ///< a molecule of the data set; thread safe

  static MoleculeReader open(const std::string& folder);
};

/// Molecules, as a task's data.
class GraphRegressionData : public TaskData {
 public:
  explicit GraphRegressionData(MoleculeReader molecules) : molecules_(std::move(molecules)) {}

  const std::string& path() const override { return molecules_.path; }
  DataIdentity identity() const override;
  std::vector<std::string> description() const override;
  Config settled(Config config) const override;
  /// In each epoch in another order, and with other signs of the encodings.
  std::unique_ptr<TrainingSet> training(const Config& config) const override;
  bool has_split(const Config& /*config*/, Split split) const override {
    return molecules_.info.split_size(split) > 0;
  }
  /// Each molecule once. One without a target is an item of no terms: it is predicted, not scored.
  std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                      int64_t most_terms) const override;

 private:
  MoleculeReader molecules_;
};

}  // namespace ssa
