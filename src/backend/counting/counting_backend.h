#pragma once

#include <string>
#include <string_view>

#include "ssa/backend/backend.h"
#include "ssa/backend/counting.h"

namespace ssa {

/// Adds every call to a tally, and holds the workspace that the CPU backend would hold during the
/// call. Reads no element. See Count.
class CountingBackend : public Backend {
 public:
  const Tally& tally() const { return tally_; }

  Device device() const override { return Device::counting; }
  std::string description() const override { return "counting (computes nothing)"; }
  bool supports(DType dtype) const override { return is_floating(dtype); }

  void fill(Tensor& out, double value) override;
  void copy(const Tensor& in, Tensor& out) override;
  void add(const Tensor& a, const Tensor& b, Tensor& out) override;
  void scale(const Tensor& in, double factor, Tensor& out) override;
  void activation(Activation kind, const Tensor& in, Tensor& out) override;
  void activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                           Tensor& grad_in, Tensor& out) override;
  void dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
               Tensor& out) override;
  void gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) override;
  void gather_rows_backward(const Tensor& rows, const Tensor& grad_out, Tensor& grad_in) override;

  void matmul(const MatmulArgs& args) override;
  void batched_matmul(const BatchedMatmulArgs& args) override;
  std::shared_ptr<PackedMatrix> pack(const std::vector<Tensor>& parts, bool transpose, DType data,
                                     std::shared_ptr<PackedMatrix> reuse) override;
  void column_sum(const Tensor& in, Tensor& out, bool accumulate) override;

  void layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                  Tensor& out, Tensor& mean, Tensor& rstd) override;
  void layer_norm_backward(const LayerNormBackwardArgs& args) override;

  void embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) override;
  void embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                          Tensor& grad_table) override;
  void cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                     Tensor& lse) override;
  void cross_entropy_backward(const Tensor& logits, const Tensor& targets, const Tensor& lse,
                              const Tensor& grad_loss, Tensor& grad_logits) override;
  void soft_cross_entropy(const Tensor& logits, const SoftTargets& targets, Tensor& loss,
                          Tensor& lse) override;
  void soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                   const Tensor& lse, const Tensor& grad_loss,
                                   Tensor& grad_logits) override;

  void absolute_error(const Tensor& prediction, const Tensor& target, Tensor& loss) override;
  void absolute_error_backward(const Tensor& prediction, const Tensor& target,
                               const Tensor& grad_loss, Tensor& grad_prediction) override;
  void patches(const PatchArgs& args) override;
  void mean_positions(const Tensor& in, Tensor& out) override;
  void mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) override;

  void attention(AttentionArgs& args) override;
  void attention_backward(AttentionBackwardArgs& args) override;
  void graph_attention(GraphAttentionArgs& args) override;
  void graph_attention_backward(GraphAttentionBackwardArgs& args) override;
  void masked_softmax(const MaskedSoftmaxArgs& args) override;
  void masked_softmax_backward(const Tensor& weights, double scale, const Tensor& grad_weights,
                               Tensor& grad_logits) override;

  double sum_squares(const std::vector<Tensor>& in) override;
  double sum(const Tensor& in) override;
  void adam_step(const std::vector<AdamArgs>& updates) override;
  void sgd_step(const std::vector<SgdArgs>& updates) override;

 private:
  void count(std::string_view primitive, const Tensor& out);
  void update(std::string_view primitive, Tensor parameter);
  void count_products(CountedProduct product, int64_t times);

  Tally tally_;
};

/// The backend of this thread's Count. Throws ConfigError if there is none.
Backend& counting_backend();
/// Whether this thread is inside a VocabularyPart.
bool counts_vocabulary();

}  // namespace ssa
