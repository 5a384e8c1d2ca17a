#include "tasks/majority_task.h"

#include <algorithm>
#include <cmath>

#include "ssa/models/precision.h"

namespace ssa::testing {

namespace {

// ---- data --------------------------------------------------------------------------------------

constexpr int64_t kExamples = 4096, kEvalExamples = 64;

/// Sequence `number` of a split: a pure function.
Batch sequences(Split split, int64_t first, int64_t count, int64_t length) {
  Batch batch(count);
  batch.add("symbols", DType::i32, {count, length});
  batch.add("label", DType::i32, {count});
  const auto symbols = batch.field("symbols").values<int32_t>();
  const auto labels = batch.field("label").values<int32_t>();
  for (int64_t i = 0; i < count; ++i) {
    const RngKey key{.seed = 1,
                     .step = static_cast<uint32_t>(first + i),
                     .stream = static_cast<uint32_t>(split)};
    int32_t ones = 0;
    for (int64_t n = 0; n < length; ++n) {
      const auto symbol = static_cast<int32_t>(key.word(static_cast<uint64_t>(n)) & 1);
      symbols[static_cast<size_t>(i * length + n)] = symbol;
      ones += symbol;
    }
    labels[static_cast<size_t>(i)] = 2 * ones > length ? 1 : 0;
  }
  return batch;
}

class MajorityTraining : public TrainingSet {
 public:
  explicit MajorityTraining(int64_t length) : length_(length) {}
  int64_t examples_per_epoch() const override { return kExamples; }
  Batch batch(int64_t first, int64_t count) const override {
    return sequences(Split::train, first, count, length_);
  }

 private:
  int64_t length_;
};

class MajorityEvaluation : public EvalSet {
 public:
  MajorityEvaluation(Split split, int64_t length) : split_(split), length_(length) {}
  int64_t items() const override { return kEvalExamples; }
  int64_t terms(int64_t /*item*/) const override { return 1; }
  int64_t total_terms() const override { return kEvalExamples; }
  Batch batch(int64_t first, int64_t count) const override {
    return sequences(split_, first, count, length_);
  }
  int64_t items_per_draw() const override { return 10; }
  Averaging averaging() const override { return Averaging::log_probabilities; }
  std::vector<double> prediction(int64_t /*item*/,
                                 std::span<const double> predicted) const override {
    return {predicted.begin(), predicted.end()};
  }
  Score score(int64_t item, std::span<const double> log_probabilities) const override {
    const Batch own = batch(item, 1);
    const auto label = static_cast<size_t>(own.field("label").values<int32_t>()[0]);
    const bool right = log_probabilities[label] > log_probabilities[1 - label];
    return {-log_probabilities[label], {right ? 1.0 : 0.0}};
  }

 private:
  Split split_;
  int64_t length_;
};

class MajorityData : public TaskData {
 public:
  const std::string& path() const override { return path_; }
  DataIdentity identity() const override { return {kExamples, "majority"}; }
  std::vector<std::string> description() const override { return {"sequences of two symbols"}; }
  Config settled(Config config) const override { return config; }
  std::unique_ptr<TrainingSet> training(const Config& config) const override {
    return std::make_unique<MajorityTraining>(config.data.length);
  }
  std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                      int64_t /*most_terms*/) const override {
    return std::make_unique<MajorityEvaluation>(split, config.data.length);
  }

 private:
  std::string path_ = "drawn sequences";
};

// ---- model -------------------------------------------------------------------------------------

class MajorityModel : public Model {
 public:
  MajorityModel(const ModelConfig& model, DType precision, ParameterStore& store)
      : device_(store.device()),
        precision_(precision),
        embedding_(store.add("embedding.weight", {2, model.width}, Init::normal(1.0))),
        head_(store, "head", model.width, 2) {
    for (int64_t layer = 0; layer < model.layers; ++layer) {
      const std::string name = fmt::format("blocks.{}", layer);
      blocks_.push_back({nn::LayerNorm(store, name + ".attention_norm", model.width),
                         nn::SelfAttention(store, name + ".attention", model.width, model.heads, 0),
                         nn::LayerNorm(store, name + ".ffn_norm", model.width),
                         nn::FeedForward(store, name + ".ffn", model.width, model.ffn_width,
                                         Activation::gelu, 0)});
    }
  }

  Variable losses(const ModelInput& input, const nn::Context& context) const override {
    return ops::cross_entropy(logits(input, context), input.field("label"));
  }
  Tensor predictions(const ModelInput& input) const override {
    const NoGrad guard;
    Tensor scores = logits(input, {}).value();
    ops::log_softmax(scores);
    return scores;
  }

 private:
  struct Block {
    nn::LayerNorm attention_norm;
    nn::SelfAttention attention;
    nn::LayerNorm ffn_norm;
    nn::FeedForward ffn;
  };

  /// (B, 2), from each sequence's first position.
  Variable logits(const ModelInput& input, const nn::Context& context) const {
    const Tensor& symbols = input.field("symbols");
    const int64_t batch = symbols.dim(0), length = symbols.dim(1);
    Variable x = ops::embedding(embedding_, symbols.view({batch * length}), 1.0, precision_);
    for (size_t layer = 0; layer < blocks_.size(); ++layer) {
      const Block& block = blocks_[layer];
      const auto number = static_cast<int64_t>(layer);
      const nn::AttentionInput attention{batch, length, input.plans[layer], false, {}};
      x = block.attention({x, {}}, block.attention_norm, attention, context, number);
      x = block.ffn({x, {}}, block.ffn_norm, context, number);
    }
    const Tensor first = Tensor::from<int32_t>({0}, {1}, device_, MemoryCategory::data);
    return ops::wide_linear(ops::gather_rows(x, batch, first), head_.map());
  }

  Device device_;
  DType precision_;
  Variable embedding_;
  std::vector<Block> blocks_;
  nn::Linear head_;
};

}  // namespace

// ---- task --------------------------------------------------------------------------------------

const TaskTraits& MajorityTask::traits() const {
  static const TaskTraits traits{"sequences",
                                 "sequences",
                                 "sequence",
                                 "sequences",
                                 " nats",
                                 {{.key = "accuracy",
                                   .label = "accuracy",
                                   .name = "accuracy",
                                   .label_first = true,
                                   .higher_is_better = true}}};
  return traits;
}

std::unique_ptr<Model> MajorityTask::make_model(ParameterStore& store) const {
  return std::make_unique<MajorityModel>(config().model, to_dtype(config().train.precision), store);
}

std::vector<PlanSpec> MajorityTask::plan_specs(Sources sources, Use /*use*/) const {
  PlanSpec spec;
  spec.positions = config().data.length;
  if (sources == Sources::sampled && config().ssa.kind == SsaKind::unbiased) {
    spec.kind = PlanKind::unbiased;
    spec.drop = config().ssa.drop;
  }
  return std::vector<PlanSpec>(static_cast<size_t>(config().model.layers), spec);
}

Batch MajorityTask::typical_batch(int64_t examples) const {
  return sequences(Split::train, 0, examples, config().data.length);
}

std::unique_ptr<TaskData> MajorityTask::open_data() const {
  return std::make_unique<MajorityData>();
}

}  // namespace ssa::testing
