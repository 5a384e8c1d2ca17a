#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/decoder.h"
#include "ssa/models/model.h"
#include "ssa/nn/adaptive.h"
#include "ssa/nn/layers.h"

namespace ssa {

/// Causal language model: embedding scaled by √width, decoder, output matrix (tied with the
/// embedding if configured). For large vocabularies embedding and output come in bands
/// (nn/adaptive.h).
/// Parameter names and shapes: docs/reference/weights.md.
class DecoderLm : public Model {
 public:
  /// Throws ConfigError if the config asks for an option that this model does not have.
  DecoderLm(const ModelConfig& model, int64_t vocabulary, ParameterStore& store);

  /// Tokens of a batch: (B, N), row-major, i32.
  struct Input {
    int64_t batch = 0;
    int64_t length = 0;
    Tensor ids;                             ///< (B·N)
    const std::vector<PlanTensors>* plans;  ///< one per layer
  };
  /// The device that this model reads token ids and targets from: its own, or, for large
  /// vocabularies, the host, which sorts tokens into bands.
  Device token_device() const;
  /// A tensor of token ids or targets on token_device().
  Tensor tokens(const std::vector<int32_t>& values) const;

  /// Scores of the next token, (B·N, V); their softmax is the prediction. An adaptive output gives
  /// log-probabilities that are not on the tape.
  Variable logits(const Input& input, const nn::Context& context) const;
  /// Negative log-likelihood of `targets` (B·N) in nats; 0 where the target is -1. → (B·N)
  Variable losses(const Input& input, const Tensor& targets, const nn::Context& context) const;

  // The same for fields `ids` and `targets`, (B, N) i32.
  Variable losses(const ModelInput& input, const nn::Context& context) const override;
  /// The losses of all tokens, without a gradient. An ensemble averages the tokens' probabilities.
  Tensor predictions(const ModelInput& input) const override;
  /// The classes are tokens; those of positions with a target.
  Tensor ranked_predictions(const ModelInput& input, int64_t most,
                            LikelyClasses& likely) const override;
  /// Token ids and targets, for large vocabularies.
  bool reads_on_host(std::string_view field) const override;
  /// An adaptive embedding on a GPU has shapes that depend on the tokens.
  bool has_fixed_shapes() const override { return token_device() == device_; }

  /// A cache for texts of up to `capacity` tokens, for one or more sub-models, in the precision
  /// that is set now.
  DecoderCache make_cache(int64_t capacity, int64_t sub_models = 1) const {
    return decoder_->make_cache(capacity, sub_models, precision_);
  }
  /// Tokens that can come next.
  int64_t vocabulary() const { return vocabulary_; }
  /// Bytes of the keys and values of a text in it, for one sub-model.
  int64_t cache_bytes(int64_t capacity) const;
  /// Reads the tokens (n) after those in the cache. Returns each sub-model's scores of the next
  /// token, like logits(): (sub_models, V). No gradient.
  Tensor read(const std::vector<int32_t>& tokens, DecoderCache& cache) const;
  /// The same for tokens of its own for each of the cache's sub-models: (sub_models, count).
  Tensor read_each(std::span<const int32_t> tokens, int64_t count, DecoderCache& cache) const;

  /// Sets what the backward pass recomputes instead of keeping it.
  void set_activation_checkpointing(Checkpointing what) {
    decoder_->set_activation_checkpointing(what);
  }
  /// Sets the dtype of activations and matrix products. The default is that of the parameters.
  /// Logits are wide(dtype).
  void set_precision(DType dtype) { precision_ = dtype; }

 private:
  void build_input(int64_t vocabulary, ParameterStore& store);
  void build_output(int64_t vocabulary, ParameterStore& store);
  Variable embedded(const Tensor& ids) const;
  Variable hidden(const Input& input, const nn::Context& context) const;
  Variable scores(const Variable& x) const;
  Variable losses_of(const Variable& x, const Tensor& targets, const nn::Context& context) const;

  ModelConfig model_;
  int64_t vocabulary_;
  Device device_;
  DType precision_;
  Variable embedding_;                                  // plain
  std::optional<nn::AdaptiveInput> adaptive_input_;     // or adaptive
  std::optional<Decoder> decoder_;                      // always there, built after the embedding
  ops::LinearMap output_;                               // plain
  std::optional<nn::AdaptiveSoftmax> adaptive_output_;  // or adaptive
};

}  // namespace ssa
