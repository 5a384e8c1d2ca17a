#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/data/batch.h"
#include "ssa/data/dataset_info.h"
#include "ssa/data/picture.h"
#include "ssa/models/model.h"
#include "ssa/nn/parameters.h"
#include "ssa/sampling/source_plan.h"
#include "ssa/tasks/analysis.h"
#include "ssa/tasks/metric.h"

namespace ssa {

// The seam between one engine and many tasks. Training, evaluation, report and programs know these
// interfaces and no task by its name; a task knows its data sets and its model
// (docs/how-to/add-a-task.md).

/// Which sources targets may attend to: those drawn as ssa.* says, or all of them (renorm, +FT).
enum class Sources { sampled, all };
/// What a plan is for: lengths may differ.
enum class Use { training, evaluation };

/// Tells one data set from another. A run is continued only with the data that it started with.
struct DataIdentity {
  int64_t bytes = 0;
  std::string checksum;                  ///< empty: not known
  std::string vocabulary_checksum = {};  ///< of words, ids; empty: none, or it is not known
  std::string name = {};                 ///< of the published data set, the folder or the file
  std::string path = {};                 ///< absolute: data.path may be relative
};

/// "enwik8 (100000000 bytes with checksum …)".
std::string to_text(const DataIdentity& data);
/// Empty if both may be the same data, else how they differ: "6000 bytes with checksum …, the
/// run's data …". What one of them does not state is not compared.
std::string data_difference(const DataIdentity& run, const DataIdentity& data);

/// A small file that has to stay with the weights, such as the vocabulary of a text.
struct CompanionFile {
  std::string name;
  std::string content;
};

/// The examples that a run learns from.
class TrainingSet {
 public:
  virtual ~TrainingSet() = default;
  /// Examples in one pass over the data.
  virtual int64_t examples_per_epoch() const = 0;
  /// Examples first … first+count-1 of the whole run, in the run's order. A pure function, called
  /// from several threads at a time: order, augmentation and mixing are drawn from counters, so
  /// that a run resumes exactly and any number of ranks and workers reads the same examples. Throws
  /// DataError if the files have changed.
  virtual Batch batch(int64_t first, int64_t count) const = 0;
  /// An example of batch() for people to look at: the pixels that the model sees, augmented and
  /// mixed. A pure function. Overridden where the task's traits say SampleKind::training_pictures;
  /// otherwise throws ShapeError.
  virtual Picture picture(int64_t example) const;
};

/// Sums over the terms of an item.
struct Score {
  double loss = 0;                 ///< sum over the terms
  std::vector<double> counted;     ///< for each metric without from_loss, in their order
  std::vector<double> parts = {};  ///< the loss of each part of EvalSet::partitions()
};

/// A way to tell the terms of an item apart, such as by colour, for a score of each part. An item's
/// terms are divided equally among the parts.
struct Partition {
  std::string key;                 ///< in files: "channels"
  std::vector<std::string> parts;  ///< in files: "red", "green", "blue"
};

/// How the predictions of sub-models are averaged.
enum class Averaging {
  log_probabilities,  ///< numbers are log p; the mean is of p: log((1/R)·Σ_r p_r)
  values              ///< the mean of the numbers
};

/// The items of a split, each scored exactly once: windows of a text, images, graphs.
class EvalSet {
 public:
  virtual ~EvalSet() = default;
  virtual int64_t items() const = 0;
  /// Loss terms that an item is scored on.
  virtual int64_t terms(int64_t item) const = 0;
  /// Of all items.
  virtual int64_t total_terms() const = 0;
  /// Items first … first+count-1 as a batch. Called on another thread than the rest, at the same
  /// time.
  virtual Batch batch(int64_t first, int64_t count) const = 0;
  /// Items that may share the sources drawn for a sub-model of an ensemble.
  virtual int64_t items_per_draw() const { return 1; }
  virtual Averaging averaging() const = 0;
  virtual std::vector<Partition> partitions() const { return {}; }
  /// The numbers that an ensemble averages, of one item: `predicted` is its part of what
  /// Model::predictions() gave for its batch.
  virtual std::vector<double> prediction(int64_t item, std::span<const double> predicted) const = 0;
  virtual Score score(int64_t item, std::span<const double> prediction) const = 0;
  /// The class, such as a token, that each term of an item turned out to be, where prediction()
  /// gives the terms' log-probabilities. Empty where it gives something else.
  virtual std::vector<int32_t> targets(int64_t /*item*/) const { return {}; }

  /// The item's line in the file of `ssa-eval --predictions`: a JSON object without line breaks. By
  /// default {"index", "prediction": […]}, of an ensemble also "spread": […].
  virtual std::string prediction_line(const ItemPrediction& prediction) const;
  /// An empty analysis of what evaluate() will predict for this set; null if the task has none.
  virtual std::unique_ptr<Analysis> analysis() const { return nullptr; }
};

/// An open data set.
class TaskData {
 public:
  virtual ~TaskData() = default;
  virtual const std::string& path() const = 0;
  virtual DataIdentity identity() const = 0;
  /// Lines for logs: what it is, how much of it, which split.
  virtual std::vector<std::string> description() const = 0;
  /// The config, completed by what only the data know, such as their name and the size of a
  /// vocabulary. Throws ConfigError if the config and the data do not fit each other.
  virtual Config settled(Config config) const = 0;
  /// Whether there is anything to score in a split. Without a valid split a training is not
  /// validated.
  virtual bool has(Split /*split*/) const { return true; }
  /// What the trainer puts into the run folder, so that the weights are of use without the data.
  virtual std::vector<CompanionFile> companions() const { return {}; }
  /// In the order that train.seed draws. Throws DataError if there is too little to learn from.
  virtual std::unique_ptr<TrainingSet> training(const Config& config) const = 0;
  /// Whether a split has items of its own. evaluation() refuses one without items.
  virtual bool has_split(const Config& /*config*/, Split /*split*/) const { return true; }
  /// The items of a split, or the first of them, of `most_terms` terms at most (0: all). Throws
  /// DataError for an empty split.
  virtual std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                              int64_t most_terms) const = 0;
};

/// What is learned, as a config says it.
class Task {
 public:
  explicit Task(Config config) : config_(std::move(config)) {}
  virtual ~Task() = default;

  const Config& config() const { return config_; }
  virtual const TaskTraits& traits() const { return traits_of(config_.task); }
  /// Loss terms of a training example: the tokens of a sequence, 1 for an image or a graph.
  virtual int64_t terms_per_example() const = 0;
  /// The network with its parameters in `store`, computing in train.precision. Throws ConfigError
  /// where the config does not say enough, and for what the model does not have.
  virtual std::unique_ptr<Model> make_model(ParameterStore& store) const = 0;
  /// The plan of each layer. Throws ConfigError for a geometry that cannot be drawn.
  virtual std::vector<PlanSpec> plan_specs(Sources sources, Use use) const = 0;
  /// Reports what is wrong with the config, before data are opened: by default, plans that cannot
  /// be drawn. A task with more rules adds them and calls this.
  virtual void check(ConfigCheck& check) const;
  /// The config keys that decide whether plans can be drawn, the one to correct first in front:
  /// what check() puts a problem with plan_specs() down to. By default those of ssa.kind.
  virtual std::vector<std::string_view> geometry_keys(Use use) const;
  /// Draws the plans of a step, shared by its micro-batches. A task whose sources depend on the
  /// examples adds them to the batches as fields. A pure function.
  virtual std::vector<SourcePlan> draw(std::vector<Batch>& micro_batches, Sources sources, Use use,
                                       const RngKey& key) const;
  /// A made-up batch like those of the data: benchmarks and counts compute on it.
  virtual Batch typical_batch(int64_t examples) const = 0;

  // How memory and compute are counted (ssa/backend/counting.h). Counts look at sizes only.

  /// Plans of a training step, by default those that draw() gives.
  virtual std::vector<SourcePlan> typical_plans(std::vector<Batch>& micro_batches,
                                                Sources sources) const;
  /// The config of the model that training_cost() counts: with fused attention, which a Tally keeps
  /// apart from other products.
  virtual Config counted_config() const;
  /// One example for that model, on the counting device.
  virtual ModelInput counted_example(const Model& model, Sources sources) const;
  /// Compute of a step with sampled sources against a dense one, as the paper counts it, where
  /// counting the model gives another number. By default there is none.
  virtual std::optional<double> stated_ratio() const { return std::nullopt; }

  virtual std::unique_ptr<TaskData> open_data() const = 0;

 private:
  void check_geometry(ConfigCheck& check, Use use) const;

  Config config_;
};

using TaskFactory = std::function<std::unique_ptr<Task>(const Config&)>;

/// The task of a config. Opens no file.
std::unique_ptr<Task> make_task(const Config& config);

/// The config with train.epochs and schedule.warmup_epochs counted in steps of these data. Throws
/// ConfigError if the warm-up is then longer than the training.
Config counted_in_steps(Config config, const TaskData& data);
/// The same where that is needed: opens the data only for a config that counts in epochs.
Config counted_in_steps(const Config& config);

/// Passes over the training data after a step. Nothing for a run whose length is given in steps.
std::optional<double> epoch_of_step(const Config& config, int64_t step);

/// Sources::sampled until +FT begins.
Sources sources_of_step(const Config& config, int64_t step);

/// What a training step computes on.
struct StepItem {
  std::vector<Batch> micro_batches;
  std::vector<SourcePlan> plans;

  int64_t examples() const;
};
/// The plans of a training step for these micro-batches. Each rank draws its own.
std::vector<SourcePlan> plans_of_step(const Task& task, std::vector<Batch>& micro_batches,
                                      int64_t step, int rank = 0);
/// A made-up step of train.batch_size examples in micro-batches of train.micro_batch, with the
/// plans of step 0.
StepItem typical_step(const Task& task);

}  // namespace ssa
