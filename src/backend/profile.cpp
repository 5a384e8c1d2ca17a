#include "ssa/backend/profile.h"

#include <chrono>
#include <type_traits>
#include <utility>

#include "ssa/core/device_memory.h"
#include "ssa/core/trace_range.h"

#include "backend/registry.h"

namespace ssa {

/// Forwards every call, and times it.
class BackendProfile::Wrapper : public Backend {
 public:
  Wrapper(Backend& inner, Timing timing) : inner_(inner) {
    if (timing == Timing::marks) {
      stopwatch_ = device_memory(inner.device()).start_stopwatch();
    }
  }
  std::map<std::string, double> seconds;

  int64_t first_call() const { return first_call_; }
  /// Two marks stand around each call.
  std::vector<DeviceWork> device_work() const {
    std::vector<DeviceWork> work;
    if (marked_.empty()) return work;
    const std::vector<double> laps = stopwatch_->laps();
    double now = 0;
    for (size_t i = 0; i < marked_.size(); ++i) {
      if (i > 0) now += laps[2 * i - 1];
      work.push_back({marked_[i], now, now + laps[2 * i]});
      now += laps[2 * i];
    }
    return work;
  }

  Device device() const override { return inner_.device(); }
  std::string description() const override { return inner_.description(); }
  bool supports(DType dtype) const override { return inner_.supports(dtype); }

  void fill(Tensor& out, double value) override { timed("fill", &Backend::fill, out, value); }
  void copy(const Tensor& in, Tensor& out) override { timed("copy", &Backend::copy, in, out); }
  void add(const Tensor& a, const Tensor& b, Tensor& out) override {
    timed("add", &Backend::add, a, b, out);
  }
  void scale(const Tensor& in, double factor, Tensor& out) override {
    timed("scale", &Backend::scale, in, factor, out);
  }
  void activation(Activation kind, const Tensor& in, Tensor& out) override {
    timed("activation", &Backend::activation, kind, in, out);
  }
  void activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                           Tensor& grad_in, Tensor& out) override {
    timed("activation_backward", &Backend::activation_backward, kind, in, grad_out, grad_in, out);
  }
  void dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
               Tensor& out) override {
    timed("dropout", &Backend::dropout, dropout, in, residual, out);
  }
  void gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) override {
    timed("gather_rows", &Backend::gather_rows, in, rows, out);
  }
  void gather_rows_backward(const Tensor& rows, const Tensor& grad_out, Tensor& grad_in) override {
    timed("gather_rows_backward", &Backend::gather_rows_backward, rows, grad_out, grad_in);
  }
  void matmul(const MatmulArgs& args) override { timed("matmul", &Backend::matmul, args); }
  void batched_matmul(const BatchedMatmulArgs& args) override {
    timed("batched_matmul", &Backend::batched_matmul, args);
  }
  std::shared_ptr<PackedMatrix> pack(const std::vector<Tensor>& parts, bool transpose, DType data,
                                     std::shared_ptr<PackedMatrix> reuse) override {
    return timed("pack", &Backend::pack, parts, transpose, data, std::move(reuse));
  }
  std::shared_ptr<PackedMatrix> pack_int8(const std::vector<Tensor>& parts, DType data) override {
    return timed("pack", &Backend::pack_int8, parts, data);
  }
  bool fuses(Activation kind, DType data) const override { return inner_.fuses(kind, data); }
  // Where these are made of other primitives, those are timed.
  void matmul_activation(const MatmulArgs& args, Activation kind, Tensor& activated) override {
    if (!fuses(kind, args.a.dtype())) return Backend::matmul_activation(args, kind, activated);
    timed("matmul_activation", &Backend::matmul_activation, args, kind, activated);
  }
  void matmul_activation_backward(const MatmulArgs& args, Activation kind, const Tensor& in,
                                  Tensor& again) override {
    if (!fuses(kind, args.a.dtype())) {
      return Backend::matmul_activation_backward(args, kind, in, again);
    }
    timed("matmul_activation_backward", &Backend::matmul_activation_backward, args, kind, in,
          again);
  }
  void weight_gradient(const WeightGradientArgs& args) override {
    if (device() != Device::cuda) return Backend::weight_gradient(args);
    timed("weight_gradient", &Backend::weight_gradient, args);
  }
  void column_sum(const Tensor& in, Tensor& out, bool accumulate) override {
    timed("column_sum", &Backend::column_sum, in, out, accumulate);
  }
  void layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                  Tensor& out, Tensor& mean, Tensor& rstd) override {
    timed("layer_norm", &Backend::layer_norm, in, gain, shift, eps, out, mean, rstd);
  }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    timed("layer_norm_backward", &Backend::layer_norm_backward, args);
  }
  void embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) override {
    timed("embedding", &Backend::embedding, table, ids, factor, out);
  }
  void embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                          Tensor& grad_table) override {
    timed("embedding_backward", &Backend::embedding_backward, ids, factor, grad_out, grad_table);
  }
  void cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                     Tensor& lse) override {
    timed("cross_entropy", &Backend::cross_entropy, logits, targets, loss, lse);
  }
  void cross_entropy_backward(const Tensor& logits, const Tensor& targets, const Tensor& lse,
                              const Tensor& grad_loss, Tensor& grad_logits) override {
    timed("cross_entropy_backward", &Backend::cross_entropy_backward, logits, targets, lse,
          grad_loss, grad_logits);
  }
  void soft_cross_entropy(const Tensor& logits, const SoftTargets& targets, Tensor& loss,
                          Tensor& lse) override {
    timed("soft_cross_entropy", &Backend::soft_cross_entropy, logits, targets, loss, lse);
  }
  void soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                   const Tensor& lse, const Tensor& grad_loss,
                                   Tensor& grad_logits) override {
    timed("soft_cross_entropy_backward", &Backend::soft_cross_entropy_backward, logits, targets,
          lse, grad_loss, grad_logits);
  }
  void absolute_error(const Tensor& prediction, const Tensor& target, Tensor& loss) override {
    timed("absolute_error", &Backend::absolute_error, prediction, target, loss);
  }
  void absolute_error_backward(const Tensor& prediction, const Tensor& target,
                               const Tensor& grad_loss, Tensor& grad_prediction) override {
    timed("absolute_error_backward", &Backend::absolute_error_backward, prediction, target,
          grad_loss, grad_prediction);
  }
  void patches(const PatchArgs& args) override { timed("patches", &Backend::patches, args); }
  void mean_positions(const Tensor& in, Tensor& out) override {
    timed("mean_positions", &Backend::mean_positions, in, out);
  }
  void mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) override {
    timed("mean_positions_backward", &Backend::mean_positions_backward, grad_out, grad_in);
  }
  void attention(AttentionArgs& args) override { timed("attention", &Backend::attention, args); }
  void attention_backward(AttentionBackwardArgs& args) override {
    timed("attention_backward", &Backend::attention_backward, args);
  }
  void graph_attention(GraphAttentionArgs& args) override {
    timed("graph_attention", &Backend::graph_attention, args);
  }
  void graph_attention_backward(GraphAttentionBackwardArgs& args) override {
    timed("graph_attention_backward", &Backend::graph_attention_backward, args);
  }
  void masked_softmax(const MaskedSoftmaxArgs& args) override {
    timed("masked_softmax", &Backend::masked_softmax, args);
  }
  void masked_softmax_backward(const Tensor& weights, double scale, const Tensor& grad_weights,
                               Tensor& grad_logits) override {
    timed("masked_softmax_backward", &Backend::masked_softmax_backward, weights, scale,
          grad_weights, grad_logits);
  }
  double sum_squares(const std::vector<Tensor>& in) override {
    return timed("gradient_norm", &Backend::sum_squares, in);
  }
  double sum(const Tensor& in) override { return timed("sum", &Backend::sum, in); }
  void adam_step(const std::vector<AdamArgs>& updates) override {
    timed("optimizer", &Backend::adam_step, updates);
  }
  void sgd_step(const std::vector<SgdArgs>& updates) override {
    timed("optimizer", &Backend::sgd_step, updates);
  }

 private:
  /// Lets the device note when it has come to a call, and when it has done it.
  void mark(const char* part, bool before) {
    if (before && marked_.empty()) first_call_ = trace_clock();
    if (before) marked_.push_back(part);
    stopwatch_->mark();
  }

  /// Calls the primitive, and times it as `part`.
  template <class Result, class... Parameters>
  Result timed(const char* part, Result (Backend::*primitive)(Parameters...),
               std::type_identity_t<Parameters>... args) {
    const TraceRange range(part);
    const auto started = std::chrono::steady_clock::now();
    if (stopwatch_) mark(part, true);
    const auto stop = [&] {
      if (stopwatch_) return mark(part, false);
      device_memory(inner_.device()).wait();
      seconds[part] +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    };
    if constexpr (std::is_void_v<Result>) {
      (inner_.*primitive)(std::forward<Parameters>(args)...);
      stop();
    } else {
      Result result = (inner_.*primitive)(std::forward<Parameters>(args)...);
      stop();
      return result;
    }
  }

  Backend& inner_;
  std::unique_ptr<Stopwatch> stopwatch_;  // of Timing::marks
  std::vector<const char*> marked_;
  int64_t first_call_ = 0;
};

BackendProfile::BackendProfile(Device device, Timing timing)
    : wrapper_(new Wrapper(backend(device), timing)) {
  set_backend_wrapper(wrapper_);
}

BackendProfile::~BackendProfile() {
  set_backend_wrapper(nullptr);
  delete wrapper_;
}

const std::map<std::string, double>& BackendProfile::seconds() const { return wrapper_->seconds; }
std::vector<DeviceWork> BackendProfile::device_work() const { return wrapper_->device_work(); }
int64_t BackendProfile::first_call() const { return wrapper_->first_call(); }
void BackendProfile::reset() { wrapper_->seconds.clear(); }

}  // namespace ssa
