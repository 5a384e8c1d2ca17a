#pragma once

#include <cmath>
#include <vector>

#include "ssa/data/lm_batch.h"
#include "ssa/eval/evaluate.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/model_session.h"

#include "train/tiny_run.h"

namespace ssa::testing {

/// EvalOptions, and the number of tokens to score.
struct ScoreOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;
  int64_t max_tokens = 0;  ///< 0: all
  int64_t batch_size = 1;
  Communicator* ranks = nullptr;
  std::function<bool(const EvalProgress&)> progress{};
};

/// A model whose predictions clearly depend on its attention, and a text to score.
struct TinyModel : TinyRun {
  explicit TinyModel(const std::vector<std::string>& overrides = {})
      : TinyRun(2000),
        config(TinyRun::config(overrides)),
        dataset(TokenDataset::open(text_path)),
        task(make_task(config)),
        session(*task, Device::cpu) {
    for (const Parameter& parameter : session.parameters().all()) {
      if (parameter.name.find(".attention.") == std::string::npos) continue;
      Tensor value = parameter.variable.value();
      backend(Device::cpu).scale(value, 2.0, value);
    }
  }

  EvalResult evaluate(const ScoreOptions& options, Split split = Split::valid) const {
    const auto set = LanguageModelData(dataset).evaluation(config, split, options.max_tokens);
    return ssa::evaluate(
        session.model(), *task, *set,
        {options.mode, options.samples, options.batch_size, options.ranks, options.progress},
        Device::cpu);
  }
  const DecoderLm& decoder() const { return dynamic_cast<const DecoderLm&>(session.model()); }

  /// The start byte and the bytes of a split: the model reads text[i] before byte i of the split.
  std::vector<int32_t> text(Split split) const {
    std::vector<int32_t> result = {kStartByte};
    result.resize(1 + static_cast<size_t>(dataset.split_size(split)));
    dataset.read(split, 0, std::span(result).subspan(1));
    return result;
  }

  /// Log-probabilities of the bytes that follow each of `inputs`, with plans for that length.
  std::vector<double> log_probabilities(const std::vector<int32_t>& inputs,
                                        const std::vector<int32_t>& targets,
                                        const std::vector<SourcePlan>& plans) const {
    const NoGrad guard;
    const auto length = static_cast<int64_t>(inputs.size());
    const std::vector<PlanTensors> tensors = to_tensors(plans, Device::cpu);
    const Tensor ids = Tensor::from(inputs, {length}, Device::cpu);
    const Variable scores = decoder().logits({1, length, ids, &tensors}, nn::Context{});
    std::vector<double> result;
    for (size_t row = 0; row < inputs.size(); ++row) {
      const float* logits = scores.value().data<float>() + row * 256;
      double total = 0;
      for (int v = 0; v < 256; ++v) total += std::exp(static_cast<double>(logits[v]));
      result.push_back(static_cast<double>(logits[targets[row]]) - std::log(total));
    }
    return result;
  }

  Config config;
  TokenDataset dataset;
  std::unique_ptr<Task> task;
  ModelSession session;
};

/// The mean of the first `count` losses.
inline double mean(const std::vector<double>& losses, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

}  // namespace ssa::testing
