#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa {

/// The backend for NVIDIA GPUs, sm_80 and newer. Matrix products are cuBLASLt's; all other kernels
/// are our own. Activations are f32, bf16 or f16. Kernels compute in f32 and sum in an order that
/// depends on shapes alone, so that the same call gives the same bits.
///
/// Work is queued on one stream. Only calls that return numbers to the host wait for it: sum(),
/// sum_squares(), and copies to host tensors. The host does not see token ids and targets in time
/// to check them. Those outside their range count as 0 and raise an error at the next such wait.
class CudaBackend : public Backend {
 public:
  /// Uses GPU number `gpu` of the visible ones, or the only one. Throws ConfigError if there is no
  /// usable GPU or the driver is too old. From then on tensors on Device::cuda live on this GPU.
  explicit CudaBackend(int gpu);
  Device device() const override { return Device::cuda; }
  std::string description() const override;
  bool supports(DType dtype) const override {
    return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
  }

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
  bool fuses(Activation kind, DType data) const override;
  void matmul_activation(const MatmulArgs& args, Activation kind, Tensor& activated) override;
  void matmul_activation_backward(const MatmulArgs& args, Activation kind, const Tensor& in,
                                  Tensor& again) override;
  void weight_gradient(const WeightGradientArgs& args) override;
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

  std::unique_ptr<RecordedWork> record(uint32_t step, const std::function<void()>& work) override;
};

/// Throws ConfigError like the constructor.
std::unique_ptr<Backend> make_cuda_backend(int gpu = 0);

/// The stream of all work, a cudaStream_t.
void* cuda_stream();

}  // namespace ssa
