#include "ssa/tasks/language_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "ssa/config/eval_length.h"
#include "ssa/data/data_name.h"
#include "ssa/data/lm_sampler.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/models/precision.h"

#include "tasks/sliding_windows.h"

namespace ssa {

std::unique_ptr<DecoderLm> LanguageModelTask::make_decoder(ParameterStore& store) const {
  auto decoder = std::make_unique<DecoderLm>(config().model, vocabulary_size(config()), store);
  decoder->set_precision(to_dtype(config().train.precision));
  decoder->set_activation_checkpointing(config().train.activation_checkpointing);
  return decoder;
}

std::unique_ptr<Model> LanguageModelTask::make_model(ParameterStore& store) const {
  return make_decoder(store);
}

std::vector<PlanSpec> LanguageModelTask::plan_specs(Sources sources, Use use) const {
  const bool evaluates = use == Use::evaluation;
  return specs_for(sources, evaluates ? eval_length(config()).tokens : config().data.length);
}

std::vector<PlanSpec> LanguageModelTask::specs_for(Sources sources, int64_t length) const {
  const int64_t layers = config().model.layers;
  return sources == Sources::all ? dense_plan_specs(layers, length)
                                 : decoder_plan_specs(config().ssa, layers, length);
}

std::vector<SourcePlan> LanguageModelTask::draw(std::vector<Batch>& micro_batches, Sources sources,
                                                Use use, const RngKey& key) const {
  if (micro_batches.empty()) return draw_plans(plan_specs(sources, use), key);
  return draw_plans(specs_for(sources, micro_batches.front().field(kIdsField).shape()[1]), key);
}

Batch LanguageModelTask::typical_batch(int64_t examples) const {
  const RngKey key{.purpose = RngPurpose::test};
  const int64_t vocabulary = vocabulary_size(config());
  const double range = std::log(static_cast<double>(vocabulary) + 1);
  const auto token = [&](uint64_t i) {
    if (config().task == TaskKind::byte_lm) return static_cast<int32_t>(key.word(i) & 0xff);
    const auto rank = static_cast<int64_t>(std::exp(range * uniform_open(key.word(i))));
    return static_cast<int32_t>(std::clamp<int64_t>(rank - 1, 0, vocabulary - 1));
  };
  const Shape shape{examples, config().data.length};
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i <= shape.numel(); ++i) tokens.push_back(token(static_cast<uint64_t>(i)));
  const std::span<const int32_t> all(tokens);
  Batch batch(examples);
  batch.add(kIdsField, shape, all.first(all.size() - 1));
  batch.add(kTargetsField, shape, all.last(all.size() - 1));
  return batch;
}

std::vector<SourcePlan> LanguageModelTask::typical_plans(std::vector<Batch>& /*micro_batches*/,
                                                         Sources sources) const {
  std::vector<SourcePlan> plans;
  for (const PlanSpec& spec : plan_specs(sources, Use::training)) {
    const PlanShape shape = plan_shape(spec);
    plans.push_back(
        {spec.positions, shape.windows, shape.targets_per_window, shape.sources_per_window,
         std::vector<int32_t>(static_cast<size_t>(shape.windows * shape.targets_per_window)),
         std::vector<int32_t>(static_cast<size_t>(shape.windows * shape.sources_per_window))});
  }
  return plans;
}

Config LanguageModelTask::counted_config() const {
  Config config = Task::counted_config();
  config.model.embedding.kind = EmbeddingKind::plain;
  if (config.task != TaskKind::byte_lm) config.data.vocabulary = 1;
  return config;
}

ModelInput LanguageModelTask::counted_example(const Model& /*model*/, Sources sources) const {
  const auto integers = [](const Shape& shape) {
    return Tensor::empty(shape, DType::i32, Device::counting, MemoryCategory::data);
  };
  const Shape tokens{1, config().data.length};
  ModelInput input{1, {{kIdsField, integers(tokens)}, {kTargetsField, integers(tokens)}}, {}};
  for (const PlanSpec& spec : plan_specs(sources, Use::training)) {
    const PlanShape shape = plan_shape(spec);
    input.plans.push_back({integers({shape.windows, shape.targets_per_window}),
                           integers({shape.windows, shape.sources_per_window})});
  }
  return input;
}

std::unique_ptr<TaskData> LanguageModelTask::open_data() const {
  return std::make_unique<LanguageModelData>(TokenDataset::open(config().data.path));
}

DataIdentity LanguageModelData::identity() const {
  const DatasetInfo& info = dataset_.info();
  const std::filesystem::path file = std::filesystem::absolute(path()).lexically_normal();
  const bool prepared = !info.checksum.empty();  // then data.path is the folder around the file
  if (checksum_.empty()) checksum_ = prepared ? info.checksum : scan(dataset_).checksum;
  return {info.bytes(), checksum_, info.vocabulary_checksum, name(),
          (prepared ? file.parent_path() : file).string()};
}

std::string LanguageModelData::name() const {
  const DatasetInfo& info = dataset_.info();
  if (info.checksum.empty()) return info.name;  // of a plain file
  return name_of_prepared(info.name, std::filesystem::path(path()).parent_path().string());
}

std::vector<std::string> LanguageModelData::description() const {
  const DatasetInfo& info = dataset_.info();
  std::vector<std::string> lines = {fmt::format("data {}: {} {}, {}", path(), info.tokens,
                                                info.unit(), info.split_description())};
  if (info.kind != TokenKind::bytes) {
    lines.push_back(fmt::format("vocabulary of {} {}", info.vocabulary,
                                info.kind == TokenKind::words ? "words" : "ids"));
  }
  if (!has(Split::valid)) {
    lines.emplace_back("there is no valid split: the training is not validated");
  }
  return lines;
}

namespace {

/// What a task reads, and how it is made.
struct TextKind {
  TokenKind kind;
  TaskKind task;
  std::string_view tokens;
  std::string_view making;
};
constexpr std::array kTextKinds = {
    TextKind{TokenKind::bytes, TaskKind::byte_lm, "bytes",
             "give any file, or make a folder with `ssa-data prepare bytes`"},
    TextKind{TokenKind::words, TaskKind::word_lm, "words",
             "make words of a text with `ssa-data prepare words`"},
    TextKind{TokenKind::ids, TaskKind::token_lm, "ids",
             "take over what a tokenizer gave with `ssa-data prepare ids`"}};

/// Throws ConfigError unless the task reads tokens of this kind.
void require_task(TokenKind kind, TaskKind task, const std::string& path) {
  const auto held = std::ranges::find(kTextKinds, kind, &TextKind::kind);
  const auto wanted = std::ranges::find(kTextKinds, task, &TextKind::task);
  if (held == wanted) return;
  throw ConfigError("task is {}, but data.path '{}' holds {}. A new run can have task: {}; or {}",
                    name(task), path, held->tokens, name(held->task), wanted->making);
}

}  // namespace

Config LanguageModelData::settled(Config config) const {
  const DatasetInfo& info = dataset_.info();
  require_task(info.kind, config.task, path());
  config.data.name = settled_name(config.data.name, name());
  if (info.kind == TokenKind::bytes) return config;
  if (config.data.vocabulary != 0 && config.data.vocabulary != info.vocabulary) {
    throw ConfigError(
        "data.vocabulary is {}, but the vocabulary of data.path '{}' has {} tokens. A new "
        "run takes the data's with 0; a trained one needs data of its own {}",
        config.data.vocabulary, path(), info.vocabulary,
        info.kind == TokenKind::words ? "words: `ssa-data prepare words --vocabulary RUN`"
                                      : "tokenizer");
  }
  config.data.vocabulary = info.vocabulary;
  return config;
}

std::vector<CompanionFile> LanguageModelData::companions() const {
  const DatasetInfo& info = dataset_.info();
  if (info.kind == TokenKind::bytes) return {};
  return {{std::string(info.vocabulary_file()), vocabulary_to_text(dataset_.vocabulary())}};
}

namespace {

class LanguageModelTraining : public TrainingSet {
 public:
  LanguageModelTraining(const TokenDataset& dataset, const Config& config)
      : dataset_(dataset),
        sampler_(config.train.seed, dataset.split_size(Split::train), config.data.length) {}
  int64_t examples_per_epoch() const override { return sampler_.blocks_per_epoch(); }
  Batch batch(int64_t first, int64_t count) const override {
    return sampler_.batch(dataset_, Split::train, first, count);
  }

 private:
  TokenDataset dataset_;
  LmSampler sampler_;
};

}  // namespace

std::unique_ptr<TrainingSet> LanguageModelData::training(const Config& config) const {
  return std::make_unique<LanguageModelTraining>(dataset_, config);
}

std::unique_ptr<EvalSet> LanguageModelData::evaluation(const Config& config, Split split,
                                                       int64_t most_terms) const {
  TokenSequence tokens = sequence_of(dataset_, split);
  if (tokens.size == 0) {
    throw DataError(
        "data.path '{}' has no {} split. Score another one with --split, or prepare the data with "
        "a part for it, such as --split 90/5/5",
        path(), ssa::name(split));
  }
  if (most_terms > 0) tokens.size = std::min(tokens.size, most_terms);
  return std::make_unique<SlidingWindows>(config, std::move(tokens));
}

}  // namespace ssa
