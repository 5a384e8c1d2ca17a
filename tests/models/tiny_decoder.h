#pragma once

#include <memory>
#include <vector>

#include "ssa/models/decoder_lm.h"
#include "ssa/models/decoder_plans.h"

#include "support/tensors.h"

namespace ssa::testing {

inline constexpr int64_t kTinyVocabulary = 11, kTinyBatch = 2, kTinyLength = 8;

/// Two layers of width 12, three heads (so slopes of an odd number of heads), every dropout off.
inline ModelConfig tiny_model() {
  ModelConfig model;
  model.layers = 2;
  model.width = 12;
  model.heads = 3;
  model.ffn_width = 20;
  return model;
}

/// Attention patterns of both layers by name: dense, local, unbiased.
inline std::vector<PlanTensors> tiny_plans(SsaKind kind, uint32_t step = 0) {
  SsaConfig ssa;
  ssa.kind = kind;
  ssa.windows = 4;
  ssa.sigma = {0.3, 0.6};
  ssa.drop = 0.5;
  const RngKey key{.seed = 5, .purpose = RngPurpose::plan, .step = step};
  return to_tensors(draw_plans(decoder_plan_specs(ssa, 2, kTinyLength), key), Device::reference);
}

/// The tiny decoder in f64 with a batch.
struct TinyDecoder {
  explicit TinyDecoder(const ModelConfig& model = tiny_model(),
                       int64_t vocabulary = kTinyVocabulary)
      : store(Device::reference, DType::f64, 1), decoder(model, vocabulary, store) {
    std::vector<int32_t> tokens;
    for (uint64_t i = 0; i <= kTinyBatch * kTinyLength; ++i) {
      tokens.push_back(static_cast<int32_t>(RngKey{.seed = 8}.word(i) % kTinyVocabulary));
    }
    ids = i32({tokens.begin(), tokens.end() - 1});
    targets = i32({tokens.begin() + 1, tokens.end()});
  }

  DecoderLm::Input input(const std::vector<PlanTensors>& plans) const {
    return {kTinyBatch, kTinyLength, ids, &plans};
  }
  /// Moves every parameter, so that none has an initial 0 or 1.
  void disturb() const {
    for (size_t i = 0; i < store.all().size(); ++i) {
      Tensor value = store.all()[i].variable.value();
      const auto stream = static_cast<uint32_t>(300 + i);
      backend(value.device()).add(value, random_f64(value.shape(), stream, -0.3, 0.3), value);
    }
  }

  ParameterStore store;
  DecoderLm decoder;
  Tensor ids, targets;  // (B·N)
};

}  // namespace ssa::testing
