#pragma once

#include "ssa/data/token_dataset.h"
#include "ssa/models/decoder_lm.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Predicting the next byte, word or id of a text with a causal decoder.
///
/// Fields of a batch: `ids` and `targets`, (B, N) i32; no target is -1.
class LanguageModelTask : public Task {
 public:
  explicit LanguageModelTask(const Config& config) : Task(config) {}

  int64_t terms_per_example() const override { return config().data.length; }
  std::unique_ptr<Model> make_model(ParameterStore& store) const override;
  std::unique_ptr<DecoderLm> make_decoder(ParameterStore& store) const;
  std::vector<PlanSpec> plan_specs(Sources sources, Use use) const override;
  /// Plans for windows as long as those of the batch: see LanguageModelData::evaluation().
  std::vector<SourcePlan> draw(std::vector<Batch>& micro_batches, Sources sources, Use use,
                               const RngKey& key) const override;
  void check(ConfigCheck& check) const override;
  std::vector<std::string_view> geometry_keys(Use use) const override;
  /// Words and ids follow Zipf's law, because the work of an adaptive softmax depends on how
  /// frequent they are. Bytes are uniform.
  Batch typical_batch(int64_t examples) const override;
  /// Of the right sizes, but not drawn: drawing takes long for long texts.
  std::vector<SourcePlan> typical_plans(std::vector<Batch>& micro_batches,
                                        Sources sources) const override;
  /// With one small vocabulary table: the paper's counts leave the vocabulary out.
  Config counted_config() const override;
  /// Takes no host memory, however long the text is.
  ModelInput counted_example(const Model& model, Sources sources) const override;
  std::unique_ptr<TaskData> open_data() const override;

 private:
  std::vector<PlanSpec> specs_for(Sources sources, int64_t length) const;
};

/// Tokens of the vocabulary as far as the config says: 256 for bytes; for words and ids
/// `data.vocabulary`, else what is published for `data.name`. 0 if it does not say.
int64_t configured_vocabulary(const Config& config);
/// The same. Throws ConfigError where the config does not say.
int64_t vocabulary_size(const Config& config);

/// A text of any origin, scored by the same sliding window as a split: see
/// LanguageModelData::evaluation(). Throws DataError for a text without tokens.
std::unique_ptr<EvalSet> text_evaluation(const Config& config, const Vocabulary& vocabulary,
                                         std::vector<int32_t> tokens);

/// A text in three splits, as a task's data.
class LanguageModelData : public TaskData {
 public:
  explicit LanguageModelData(TokenDataset dataset) : dataset_(std::move(dataset)) {}

  const TokenDataset& dataset() const { return dataset_; }
  const std::string& path() const override { return dataset_.path(); }
  DataIdentity identity() const override;
  std::vector<std::string> description() const override;
  Config settled(Config config) const override;
  bool has(Split split) const override { return dataset_.split_size(split) > 0; }
  /// The vocabulary's file.
  std::vector<CompanionFile> companions() const override;
  std::unique_ptr<TrainingSet> training(const Config& config) const override;
  bool has_split(const Config& /*config*/, Split split) const override {
    return dataset_.split_size(split) > 0;
  }
  /// A sliding window of eval.length and eval.overlap: every token of the split is scored once,
  /// with the context that its window gives it. A window that is longer than the text is cut to it,
  /// but never below data.length, nor to what ssa.windows does not divide: attending over a long
  /// padding takes time and changes nothing.
  std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                      int64_t most_terms) const override;

 private:
  std::string name() const;

  TokenDataset dataset_;
  mutable std::string checksum_;  ///< of a plain file, once it has been asked for
};

}  // namespace ssa
