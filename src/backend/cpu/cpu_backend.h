#pragma once

#include <string>

#include "ssa/backend/backend.h"

namespace ssa {

/// The fast backend for CPUs. It has its own kernels in the widest vectors of the machine, takes
/// matrix products from oneDNN, and runs on OpenMP threads. Activations are f32 or bf16; kernels
/// compute in f32.
///
/// Its kernels give the same bits for any number of threads: they divide work by output elements,
/// and sums over rows into parts whose size does not depend on the threads.
class CpuBackend : public Backend {
 public:
  /// Throws ConfigError if this machine or build does not have the instruction set in SSA_CPU_ISA.
  CpuBackend();
  Device device() const override { return Device::cpu; }
  std::string description() const override;
  bool supports(DType dtype) const override { return dtype == DType::f32 || dtype == DType::bf16; }
  /// Whether bf16 products use bf16 instructions. Without them (the machine has none, or
  /// SSA_CPU_ISA is lower) products are computed in f32 and rounded, which is slower than f32 data.
  static bool bf16_is_native();

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
  std::shared_ptr<PackedMatrix> pack_int8(const std::vector<Tensor>& parts, DType data) override;
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
};

Backend& cpu_backend();

}  // namespace ssa
