#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/core/tensor.h"

namespace ssa {

// The contract between the engine and the machines it runs on. `reference/` is its readable,
// naive, f64-capable definition; every other backend is tested against that.
//
// Unless a primitive says otherwise: tensors are contiguous and on the backend's device, outputs
// are allocated by the caller and may not alias inputs except where "in place" is allowed, sums
// are accumulated in f32 or better. `accumulate` adds to the output instead of overwriting it.
// Shapes are in comments, outermost axis first.
//
// Mixed precision: the data of one call (activations and their gradients) share one dtype.
// Parameters (weights, gains, shifts, biases, tables), their gradients, and statistics (losses,
// means, log-sum-exps) are wide(data): f32, or f64 when the data are f64. Weights enter products
// in the dtype of the data, as a PackedMatrix.

enum class Activation {
  gelu,       ///< x·Φ(x)
  gelu_tanh,  ///< its approximation by tanh (Hendrycks & Gimpel 2016)
  relu,
  elu
};

/// Dropout: element i of a tensor is kept where RngKey word i ≥ probability·2^32, and then scaled
/// by 1/(1-probability). The mask is never stored; backward draws it again.
struct Dropout {
  double probability = 0.0;
  RngKey key;
  constexpr bool active() const { return probability > 0.0; }
  /// Words below this are dropped.
  constexpr uint32_t threshold() const { return static_cast<uint32_t>(probability * 0x1p32); }
  constexpr bool keeps(uint64_t element) const { return key.word(element) >= threshold(); }
};

/// A weight matrix as the second operand of products: in the dtype of the data and in the layout
/// that its backend multiplies fastest. Weights change once a step and are multiplied many times.
class PackedMatrix {
 public:
  PackedMatrix(int64_t rows, int64_t columns, DType dtype)
      : rows_(rows), columns_(columns), dtype_(dtype) {}
  virtual ~PackedMatrix() = default;
  int64_t rows() const { return rows_; }        ///< K
  int64_t columns() const { return columns_; }  ///< N
  DType dtype() const { return dtype_; }

 private:
  int64_t rows_, columns_;
  DType dtype_;
};

/// out (M, N) = op(a) · op(b) [+ bias] [+ residual] [+ out], where op(a) is (M, K), op(b) (K, N).
/// The rows of a, b and residual may be strided (a slice of a wider tensor).
struct MatmulArgs {
  Tensor a{};                                      ///< (M, K), or (K, M) if transpose_a
  Tensor b{};                                      ///< (K, N), or (N, K) if transpose_b; dtype of a
  std::shared_ptr<const PackedMatrix> packed_b{};  ///< instead of b: (K, N), dtype of a
  bool transpose_a = false;
  bool transpose_b = false;
  Tensor bias{};      ///< (N) wide(data), added to every row; optional
  Tensor residual{};  ///< (M, N), dtype of out; optional
  Tensor out{};       ///< (M, N), dtype of a or wide(data)
  bool accumulate = false;
};

/// Gradients of the parameters of y = x·Wᵀ + b. The rows of both operands may be strided.
struct WeightGradientArgs {
  Tensor grad_out{};     ///< (R, M), of y
  Tensor in{};           ///< (R, N), x; dtype of grad_out
  Tensor grad_weight{};  ///< (M, N) wide(data): grad_outᵀ · in
  bool accumulate_weight = false;
  Tensor grad_bias{};  ///< (M) wide(data): Σ_rows grad_out; optional
  bool accumulate_bias = false;
};

struct LayerNormBackwardArgs {
  Tensor in{};                       ///< (R, N)
  Tensor gain{}, shift{};            ///< (N); shift only if `out` is wanted
  Tensor mean{}, rstd{};             ///< (R), from the forward pass
  Tensor grad_out{};                 ///< (R, N)
  Tensor grad_in{};                  ///< (R, N), not an alias
  bool accumulate = false;           ///< add to grad_in
  Tensor grad_gain{}, grad_shift{};  ///< (N), added to
  Tensor out{};  ///< (R, N), optional: receives the forward pass's output again; may be grad_out
};

/// A source plan on the device (paper, section 3; sampling/source_plan.h).
struct PlanTensors {
  Tensor targets;  ///< (W, T) i32
  Tensor sources;  ///< (W, S) i32
  int64_t windows() const { return targets.dim(0); }
  int64_t targets_per_window() const { return targets.dim(1); }
  int64_t sources_per_window() const { return sources.dim(1); }
};

/// Attention over a source plan. For target i = targets[w][t] and the sources j of window w:
///
///   logit_ij = clip(scale · q_i·k_j) + bias_h(i, j)        masked where causal and j > i
///   out_i    = Σ_j dropout(softmax_j(logit_ij)) · v_j
///
/// Key and value hold a row for every position, or, if `compact_sources` (plans of one window
/// only), just those of the sampled positions: row s belongs to position sources[0][s].
/// Rows of H·D may be strided (a slice of a wider tensor) in all tensors of shape (B, N, H, D).
///
/// Reading on from `query_start` = P, when keys and values of earlier positions are kept: query,
/// out and lse have the rows of positions P … P+N-1, which are the plan's targets; key and value
/// those of all positions 0 … P+N-1 (or compact). Forward only, and without dropout.
///
/// Targets without a visible source get output 0, log-sum-exp -inf, and pass no gradient.
struct AttentionArgs {
  Tensor query;  ///< (B, N, H, D)
  Tensor key;    ///< (B, P+N, H, D), compact (B, S, H, D)
  Tensor value;  ///< (B, P+N, H, D), compact (B, S, H, D)
  PlanTensors plan;
  bool compact_sources = false;
  int64_t query_start = 0;  ///< P, the position of the first row of query
  double scale = 1.0;
  bool causal = false;
  Tensor alibi_slopes;  ///< (H) f32, bias -slope_h·(i - j); optional
  Dropout dropout;      ///< on the softmax weights; element index ((b·H + h)·N + i)·N + j

  // What models of texts do without; a backend that lacks one of these throws if it is given.

  /// ((2R-1)·(2C-1), H) wide(data), learned bias by the way from source to target (Liu et al. 2021)
  /// where positions number the cells of R rows of C = grid_columns: bias_h(i, j) is
  /// table[(row_i - row_j + R - 1)·(2C - 1) + column_i - column_j + C - 1][h].
  Tensor relative_table;
  int64_t grid_columns = 0;
  Tensor pair_bias;       ///< (B, N, N, H), EGT edge bias
  Tensor pair_gate;       ///< (B, N, N, H), EGT edge gate before its sigmoid
  double logit_clip = 0;  ///< 0: no clipping

  Tensor out;  ///< (B, N, H, D)
  Tensor lse;  ///< (B, H, N) log-sum-exp of the logits, wide(data)
};

/// Gradients of attention. `forward` is as it was in the forward call, out and lse filled.
struct AttentionBackwardArgs {
  AttentionArgs forward;
  Tensor grad_out;             ///< (B, N, H, D)
  Tensor grad_query;           ///< (B, N, H, D), overwritten
  Tensor grad_key;             ///< as key, overwritten; 0 where no window sampled the position
  Tensor grad_value;           ///< as value, overwritten likewise
  Tensor grad_relative_table;  ///< as relative_table, added to; optional
};

/// The softmax of attention on logits that are stored, which attention() never does: a baseline to
/// measure it against. For target i = targets[w][t] and the sources j = sources[w][s]:
///
///   out = softmax_s(scale · logits - slope_h·(i - j))        masked where causal and j > i
///
/// Masked weights are 0, and so are all of a target without a visible source.
struct MaskedSoftmaxArgs {
  Tensor logits;  ///< (B, H, W, T, S), q_i·k_j
  PlanTensors plan;
  double scale = 1.0;
  bool causal = false;
  Tensor alibi_slopes;  ///< (H) f32; optional
  Tensor out;           ///< (B, H, W, T, S); may be logits
};

/// One update of one parameter; all tensors are f32, or all f64.
struct AdamArgs {
  Tensor parameter{};      ///< updated in place
  Tensor gradient{};       ///< same shape
  Tensor first_moment{};   ///< updated in place
  Tensor second_moment{};  ///< updated in place
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;  ///< coupled (added to the gradient), or decoupled as in AdamW
  bool decoupled = false;
  double gradient_scale = 1;  ///< clipping and loss scale: multiplies the gradient first
  int64_t step = 1;           ///< 1 at the first update, for bias correction
};

struct SgdArgs {
  Tensor parameter{};
  Tensor gradient{};
  Tensor momentum_buffer{};
  double learning_rate = 0;
  double momentum = 0;
  bool nesterov = true;
  double weight_decay = 0;
  double gradient_scale = 1;
  bool first_step = false;  ///< momentum_buffer is taken as the gradient, not decayed
};

/// What a device was once asked to do, to be asked for again as a whole, which costs the host next
/// to nothing.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// False once its memory had to be given away. Then replay() throws ShapeError.
  virtual bool usable() const = 0;
  /// Queues all of it again: on the same tensors and with the same numbers, but that random numbers
  /// whose keys named the step of the recording are drawn for this step instead.
  virtual void replay(uint32_t step) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  /// One line for logs: instruction sets, libraries, threads.
  virtual std::string description() const = 0;
  /// Whether activations may have this dtype.
  virtual bool supports(DType dtype) const = 0;

  // ---- moving and elementwise --------------------------------------------------------------
  virtual void fill(Tensor& out, double value) = 0;
  /// Same shape; any strides, any floating dtypes (converts), or equal dtypes.
  virtual void copy(const Tensor& in, Tensor& out) = 0;
  /// out = a + b; in place on either allowed.
  virtual void add(const Tensor& a, const Tensor& b, Tensor& out) = 0;
  /// out = factor · in; in place allowed.
  virtual void scale(const Tensor& in, double factor, Tensor& out) = 0;
  virtual void activation(Activation kind, const Tensor& in, Tensor& out) = 0;
  /// grad_in = grad_out · f'(in); grad_in may be grad_out. `out`, if defined, receives f(in)
  /// again, and may be `in`: keeping `in` alone is enough for what comes after the activation.
  virtual void activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                                   Tensor& grad_in, Tensor& out) = 0;
  /// out = dropout(in) [+ residual]; in place on either allowed. The gradient of `in` is the same
  /// call on the gradient, without residual.
  virtual void dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
                       Tensor& out) = 0;
  /// out (B, S, N) = in[:, rows], in (B, R, N), rows (S) i32, distinct.
  virtual void gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) = 0;
  /// grad_in (B, R, N): adds grad_out (B, S, N) to the rows that were gathered.
  virtual void gather_rows_backward(const Tensor& rows, const Tensor& grad_out,
                                    Tensor& grad_in) = 0;

  // ---- matrix products ----------------------------------------------------------------------
  virtual void matmul(const MatmulArgs& args) = 0;
  /// `parts`, (n_i, k) wide(data), stacked over their rows and transposed if asked, for products
  /// with data of this dtype. Writes into `reuse` (an earlier result for the same shapes) if given.
  virtual std::shared_ptr<PackedMatrix> pack(const std::vector<Tensor>& parts, bool transpose,
                                             DType data, std::shared_ptr<PackedMatrix> reuse) = 0;
  /// Whether the two products with an activation cost this backend less than the calls that they
  /// stand for.
  virtual bool fuses(Activation /*kind*/, DType /*data*/) const { return false; }
  /// out = product as of matmul(), without residual; activated = f(out), of its shape and dtype.
  virtual void matmul_activation(const MatmulArgs& args, Activation kind, Tensor& activated) {
    matmul(args);
    activation(kind, args.out, activated);
  }
  /// out = product · f'(in), in (M, N) of out's dtype; `again`, if defined, receives f(in), and may
  /// be `in`.
  virtual void matmul_activation_backward(const MatmulArgs& args, Activation kind, const Tensor& in,
                                          Tensor& again) {
    matmul(args);
    Tensor out = args.out;
    activation_backward(kind, in, out, out, again);
  }
  /// A product and the sum that a backend may make while it reads for the product.
  virtual void weight_gradient(const WeightGradientArgs& args) {
    matmul({.a = args.grad_out,
            .b = args.in,
            .transpose_a = true,
            .out = args.grad_weight,
            .accumulate = args.accumulate_weight});
    Tensor grad_bias = args.grad_bias;
    if (grad_bias.defined()) column_sum(args.grad_out, grad_bias, args.accumulate_bias);
  }
  /// out (N) wide(data) = Σ_rows in (R, N), whose rows may be strided. Summed in an order that does
  /// not depend on the thread count.
  virtual void column_sum(const Tensor& in, Tensor& out, bool accumulate) = 0;

  // ---- layer norm ---------------------------------------------------------------------------
  /// in, out (R, N); gain, shift (N); mean, rstd (R), kept for backward.
  virtual void layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                          Tensor& out, Tensor& mean, Tensor& rstd) = 0;
  virtual void layer_norm_backward(const LayerNormBackwardArgs& args) = 0;

  // ---- embedding ----------------------------------------------------------------------------
  /// out (R, N) = factor · table[ids[r]], table (V, N), ids (R) i32. Throws on an id outside 0…V-1.
  virtual void embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) = 0;
  /// grad_table (V, N) is added to, in an order that does not depend on the thread count.
  virtual void embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                                  Tensor& grad_table) = 0;

  // ---- softmax cross-entropy ----------------------------------------------------------------
  /// loss[r] = lse[r] - logits[r][targets[r]], in nats; loss 0 where targets[r] is -1. Throws
  /// on a target outside -1 … V-1.
  /// logits (R, V); targets (R) i32; loss, lse (R) wide(data).
  virtual void cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                             Tensor& lse) = 0;
  /// grad_logits = grad_loss[r] · (softmax - onehot); grad_logits may be logits.
  virtual void cross_entropy_backward(const Tensor& logits, const Tensor& targets,
                                      const Tensor& lse, const Tensor& grad_loss,
                                      Tensor& grad_logits) = 0;

  // ---- attention ----------------------------------------------------------------------------
  virtual void attention(AttentionArgs& args) = 0;
  virtual void attention_backward(AttentionBackwardArgs& args) = 0;
  virtual void masked_softmax(const MaskedSoftmaxArgs& args) = 0;
  /// grad_logits = scale · weights · (grad_weights - Σ_s weights·grad_weights), the weights being
  /// what masked_softmax() gave; all (B, H, W, T, S). grad_logits may be grad_weights.
  virtual void masked_softmax_backward(const Tensor& weights, double scale,
                                       const Tensor& grad_weights, Tensor& grad_logits) = 0;

  // ---- reductions and optimizers ------------------------------------------------------------
  // What the host waits for; and updates of all parameters in one call, which a device can do in
  // one go.

  /// Sum of the squares of all elements of all tensors in f64, in an order that does not depend on
  /// the thread count. Of one dtype; 0 of none.
  virtual double sum_squares(const std::vector<Tensor>& in) = 0;
  /// Sum in f64, likewise.
  virtual double sum(const Tensor& in) = 0;
  /// Each update by its own arguments; no tensor occurs twice.
  virtual void adam_step(const std::vector<AdamArgs>& updates) = 0;
  virtual void sgd_step(const std::vector<SgdArgs>& updates) = 0;

  // ---- recording ----------------------------------------------------------------------------
  /// Records what work() asks this device for, at RngKey::step `step`, without doing it; null, and
  /// work() is not called, where a backend cannot. Tensors made by work() belong to the recording,
  /// which keeps their memory; those made before must live as long as it. Throws what work()
  /// throws, and Error where it waits for the device or copies from the host.
  virtual std::unique_ptr<RecordedWork> record(uint32_t /*step*/,
                                               const std::function<void()>& /*work*/) {
    return nullptr;
  }
};

/// The backend of a device. Throws ConfigError if this build or machine has none.
Backend& backend(Device device);
/// The devices that this build has backends for.
std::vector<Device> built_devices();
/// Whether backend() finds one, which for Device::cuda depends on the machine.
bool is_usable(Device device);
/// The dtype of parameters, their gradients and statistics for data of this dtype.
constexpr DType wide(DType data) { return data == DType::f64 ? DType::f64 : DType::f32; }

}  // namespace ssa
