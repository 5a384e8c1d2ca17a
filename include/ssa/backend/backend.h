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

// The contract between the engine and the machines it runs on. `reference/` defines it in plain
// loops, also in f64. Every other backend is tested against `reference/`.
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
  gelu_tanh,  ///< approximated with tanh (Hendrycks & Gimpel 2016)
  relu,
  elu
};

/// Dropout: element i of a tensor is kept if RngKey word i / group is ≥ probability·2^32, and then
/// scaled by 1/(1-probability). The mask is not stored: backward draws it again.
struct Dropout {
  double probability = 0.0;
  RngKey key;
  /// Consecutive elements that are kept or dropped together. With 1 each element is dropped on its
  /// own. With N·C whole examples of a tensor (B, N, C) are dropped: drop path (stochastic depth,
  /// Huang et al. 2016).
  int64_t group = 1;
  constexpr bool active() const { return probability > 0.0; }
  /// Words below this are dropped.
  constexpr uint32_t threshold() const { return static_cast<uint32_t>(probability * 0x1p32); }
  constexpr bool keeps(uint64_t element) const {
    return key.word(element / static_cast<uint64_t>(group)) >= threshold();
  }
};

/// A weight matrix, packed as the right operand of products: in the dtype of the data, and in the
/// layout that its backend multiplies fastest. Weights change once per step and are multiplied many
/// times.
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

/// Many products of one shape. For all i < I and j < J: out[i][j] (M, N) = op(a[i][j]) ·
/// op(b[i][j]) [+ out[i][j]]. All tensors have two batch axes in front. The last axis is
/// contiguous; the others may be strided, so that products read heads of (B, N, H, D) in place. A
/// batch axis of size 1 in a or b is broadcast; so is one with stride 0.
struct BatchedMatmulArgs {
  Tensor a{};  ///< (I, J, M, K), or (I, J, K, M) if transpose_a
  Tensor b{};  ///< (I, J, K, N), or (I, J, N, K) if transpose_b; dtype of a
  bool transpose_a = false;
  bool transpose_b = false;
  Tensor out{};  ///< (I, J, M, N), dtype of a or wide(data)
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
  Tensor out{};  ///< (R, N), optional: receives the recomputed forward output; may be
                 ///< grad_out
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
/// Key and value have a row for every position. With `compact_sources` (for plans of one window
/// only) they have rows for the sampled positions only: row s belongs to position sources[0][s].
/// Rows of H·D may be strided (a slice of a wider tensor) in all tensors of shape (B, N, H, D).
///
/// Reading on from `query_start` = P, with kept keys and values of earlier positions: query, out
/// and lse have rows for positions P … P+N-1, which are the plan's targets; key and value have rows
/// for all positions 0 … P+N-1 (or compact). Forward only, and without dropout.
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

  /// ((2R-1)·(2C-1)·(2K-1), H) wide(data), learned bias by the offset of target and source (Liu et
  /// al. 2021). Positions number the cells of a grid of grid_columns columns in raster order, and
  /// in each cell its grid_channels channels. With Δ = target - source in rows, columns and
  /// channels, bias_h(i, j) is table[((Δrow + R - 1)·(2C - 1) + Δcolumn + C - 1)·(2K - 1) +
  /// Δchannel + K - 1][h]. K is grid_channels, or 1 for a bias that does not tell channels apart
  /// (Δchannel counts as 0). Pairs without an entry, |Δrow| ≥ R or |Δcolumn| ≥ C, are masked. So in
  /// a Swin window that a cyclic shift wraps around the edge, each part sees only itself.
  Tensor relative_table;
  int64_t relative_rows = 0;      ///< R, for the farthest pair, not the grid: a Swin window's side
  int64_t relative_columns = 0;   ///< C
  int64_t relative_channels = 1;  ///< K
  int64_t grid_columns = 0;
  int64_t grid_channels = 1;
  /// (B or 1, P+N) i32: a target sees sources of its own region only (packed documents, padding).
  /// Optional.
  Tensor regions;

  Tensor out;  ///< (B, N, H, D)
  Tensor lse;  ///< (B, H, N) log-sum-exp of the logits, wide(data)
};

/// Gradients of attention. `forward` holds the arguments of the forward call, with out and lse
/// filled.
struct AttentionBackwardArgs {
  AttentionArgs forward;
  Tensor grad_out;             ///< (B, N, H, D)
  Tensor grad_query;           ///< (B, N, H, D), overwritten
  Tensor grad_key;             ///< as key, overwritten; 0 if no window sampled the position
  Tensor grad_value;           ///< as value, overwritten likewise
  Tensor grad_relative_table;  ///< as relative_table, added to; optional
};

/// Attention inside each of G graphs of any sizes, stored one after the other without padding (EGT,
/// Hussain et al. 2022). Graph g has n_g nodes, of which s_g are sampled as sources; R and K are
/// the sums of n_g and s_g. For node i of a graph and its sources j, with c the class of the pair
/// (i, j):
///
///   logit_ij = clip(scale · q_i·k_j, ±logit_clip) + bias_table[c][h]
///   gate_ij  = sigmoid(gate_table[c][h])
///   out_i    = degree_i · Σ_j dropout(softmax_j(logit_ij) · gate_ij) · v_j
///   degree_i = log(1 + Σ_j gate_ij), but 1 for the first virtual_nodes nodes of each graph
///
/// Without a gate_table gates and degrees are 1. Pair terms by class make EGT-Simple cheap: its
/// edge features take few values, so no tensor of all pairs is needed.
struct GraphAttentionArgs {
  Tensor query;       ///< (R, H, D); rows of H·D may be strided in all tensors of shape (·, H, D)
  Tensor key, value;  ///< (K, H, D), of the sampled sources
  Tensor nodes;       ///< (G+1) i32, where each graph's rows begin, and R
  Tensor sampled;     ///< (G+1) i32, where each graph's sources begin, and K
  Tensor sources;  ///< (K) i32, the node inside its graph that each source is; ascending, distinct
  Tensor pairs;    ///< (G+1) i32, where each graph's classes begin, and Σ n_g²
  Tensor classes;  ///< (Σ n_g²) u8, of each graph (n_g, n_g): row i, column j
  Tensor bias_table;  ///< (C, H) wide(data), C ≤ 256
  Tensor gate_table;  ///< (C, H) wide(data), before the sigmoid; optional
  int64_t virtual_nodes = 0;
  double scale = 1.0;
  double logit_clip = 0;  ///< 0: no clipping
  Dropout dropout;        ///< element index (row of i)·H·M + h·M + j, M the largest n_g
  Tensor out;             ///< (R, H, D)
  Tensor lse;             ///< (R, H) log-sum-exp of the logits, wide(data)
  Tensor gate_sum;        ///< (R, H) Σ_j gate_ij, wide(data); with a gate_table
};

/// Gradients of graph_attention. `forward` holds the arguments of the forward call, with its
/// results filled. Clipping passes a gradient if the product is inside or on its bounds.
struct GraphAttentionBackwardArgs {
  GraphAttentionArgs forward;
  Tensor grad_out;              ///< (R, H, D)
  Tensor grad_query;            ///< (R, H, D), overwritten
  Tensor grad_key, grad_value;  ///< (K, H, D), overwritten
  Tensor grad_bias_table;       ///< (C, H), added to; the order does not depend on the thread count
  Tensor grad_gate_table;       ///< (C, H), likewise; with a gate_table
};

/// The softmax of attention on stored logits. attention() never stores logits; this is the baseline
/// that it is compared with. For target i = targets[w][t] and the sources j = sources[w][s]:
///
///   out = softmax_s(scale · logits - slope_h·(i - j))        masked where causal and j > i
///
/// Masked weights are 0, and so are all weights of a target without a visible source.
struct MaskedSoftmaxArgs {
  Tensor logits;  ///< (B, H, W, T, S), q_i·k_j
  PlanTensors plan;
  double scale = 1.0;
  bool causal = false;
  Tensor alibi_slopes;  ///< (H) f32; optional
  Tensor out;           ///< (B, H, W, T, S); may be logits
};

/// Turns square patches of pictures into rows for a linear map, in the order of a convolution's
/// weight: out[b·P + p][(c·side + y)·side + x] = (in[b][row][column][c]·factor - mean[c]) /
/// deviation[c], for pixel (y, x) of patch p, patches in raster order. `factor` is 1/255 for u8, 1
/// for floats.
struct PatchArgs {
  Tensor in;         ///< (B, height, width, C) u8, or wide(data) for pictures that are not bytes
  int64_t side = 4;  ///< divides height and width
  std::vector<double> mean, deviation;  ///< C each
  Tensor out;                           ///< (B·P, C·side·side), P = height·width / side²
};

/// Cross-entropy against soft targets: row r has class v with probability
///   p_v = smoothing/V + (1 - smoothing) · Σ_k weights[r][k]·[labels[r][k] = v],
/// where the weights of a row add up to 1 (mixup, cutmix, label smoothing). In nats:
///   loss[r] = lse[r] - Σ_v p_v·logits[r][v].
struct SoftTargets {
  Tensor labels;   ///< (R, K) i32
  Tensor weights;  ///< (R, K) wide(data)
  double smoothing = 0;
};

/// One update of one parameter; all tensors are f32, or all f64.
struct AdamArgs {
  Tensor parameter{};      ///< updated in place
  Tensor gradient{};       ///< same shape
  Tensor first_moment{};   ///< updated in place
  Tensor second_moment{};  ///< updated in place
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;  ///< added to the gradient, or decoupled as in AdamW
  bool decoupled = false;
  double gradient_scale = 1;  ///< for clipping and loss scale; multiplies the gradient first
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
  bool first_step = false;  ///< momentum_buffer becomes the gradient; its old values are not read
};

/// Captured work of a device, such as a CUDA graph. Replaying it costs the host next to nothing.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// False once the allocator has taken its memory for other tensors. Then replay() throws
  /// ShapeError.
  virtual bool usable() const = 0;
  /// Queues all of the work again, on the same tensors, with the same arguments. Only random
  /// numbers change: keys that named the step of the capture name this step instead.
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
  /// grad_in = grad_out · f'(in); grad_in may be grad_out. `out`, if defined, receives the
  /// recomputed f(in), and may be `in`. So it is enough to keep `in` for backward.
  virtual void activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                                   Tensor& grad_in, Tensor& out) = 0;
  /// out = dropout(in) [+ residual]; in place on either allowed. The gradient of `in` is the same
  /// call on the gradient, without residual.
  virtual void dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
                       Tensor& out) = 0;
  /// out (B, S, N) = in[:, rows], in (B, R, N), rows (S) i32, distinct.
  virtual void gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) = 0;
  /// Adds grad_out (B, S, N) to the gathered rows of grad_in (B, R, N).
  virtual void gather_rows_backward(const Tensor& rows, const Tensor& grad_out,
                                    Tensor& grad_in) = 0;

  // ---- matrix products ----------------------------------------------------------------------
  virtual void matmul(const MatmulArgs& args) = 0;
  virtual void batched_matmul(const BatchedMatmulArgs& args) = 0;
  /// Packs `parts`, (n_i, k) wide(data), stacked over their rows and transposed if `transpose`, for
  /// products with data of this dtype. Writes into `reuse` (an earlier result for the same shapes)
  /// if given.
  virtual std::shared_ptr<PackedMatrix> pack(const std::vector<Tensor>& parts, bool transpose,
                                             DType data, std::shared_ptr<PackedMatrix> reuse) = 0;
  /// The matrix of pack(parts, true, data, …) with the weights of each output as int8 and one f32
  /// scale, which the largest of them sets: products read a quarter of the bytes of f32. They take
  /// no `accumulate`. Null where a backend has no such products.
  virtual std::shared_ptr<PackedMatrix> pack_int8(const std::vector<Tensor>& /*parts*/,
                                                  DType /*data*/) {
    return nullptr;
  }
  /// Whether this backend computes the two products with an activation faster than by separate
  /// calls.
  virtual bool fuses(Activation /*kind*/, DType /*data*/) const { return false; }
  /// out = the product of matmul(), without residual; activated = f(out), with out's shape and
  /// dtype.
  virtual void matmul_activation(const MatmulArgs& args, Activation kind, Tensor& activated) {
    matmul(args);
    activation(kind, args.out, activated);
  }
  /// out = product · f'(in); in (M, N) has out's dtype. `again`, if defined, receives f(in), and
  /// may be `in`.
  virtual void matmul_activation_backward(const MatmulArgs& args, Activation kind, const Tensor& in,
                                          Tensor& again) {
    matmul(args);
    Tensor out = args.out;
    activation_backward(kind, in, out, out, again);
  }
  /// The gradients of weight and bias. A backend may sum the bias while it reads for the product.
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
  /// loss, lse (R) wide(data). Throws on a label outside 0 … V-1.
  virtual void soft_cross_entropy(const Tensor& logits, const SoftTargets& targets, Tensor& loss,
                                  Tensor& lse) = 0;
  /// grad_logits = grad_loss[r] · (softmax - p); grad_logits may be logits.
  virtual void soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                           const Tensor& lse, const Tensor& grad_loss,
                                           Tensor& grad_logits) = 0;

  // ---- regression and pictures ----------------------------------------------------------------
  /// loss = |prediction - target|; all wide(data), of one shape.
  virtual void absolute_error(const Tensor& prediction, const Tensor& target, Tensor& loss) = 0;
  /// grad_prediction = grad_loss · sign(prediction - target), 0 where they are equal.
  virtual void absolute_error_backward(const Tensor& prediction, const Tensor& target,
                                       const Tensor& grad_loss, Tensor& grad_prediction) = 0;
  /// No gradient: pictures are data.
  virtual void patches(const PatchArgs& args) = 0;
  /// out (B, C) = mean over n of in (B, N, C).
  virtual void mean_positions(const Tensor& in, Tensor& out) = 0;
  /// grad_in (B, N, C)[b][n] = grad_out (B, C)[b] / N.
  virtual void mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) = 0;

  // ---- attention ----------------------------------------------------------------------------
  virtual void attention(AttentionArgs& args) = 0;
  virtual void attention_backward(AttentionBackwardArgs& args) = 0;
  virtual void graph_attention(GraphAttentionArgs& args) = 0;
  virtual void graph_attention_backward(GraphAttentionBackwardArgs& args) = 0;
  virtual void masked_softmax(const MaskedSoftmaxArgs& args) = 0;
  /// grad_logits = scale · weights · (grad_weights - Σ_s weights·grad_weights), the weights being
  /// what masked_softmax() gave; all (B, H, W, T, S). grad_logits may be grad_weights.
  virtual void masked_softmax_backward(const Tensor& weights, double scale,
                                       const Tensor& grad_weights, Tensor& grad_logits) = 0;

  // ---- reductions and optimizers ------------------------------------------------------------
  // The host waits for reductions. One call updates all parameters, which a device can do in few
  // launches.

  /// The sum of the squares of all elements of all tensors, in f64, in an order that does not
  /// depend on the thread count. The tensors have one dtype. 0 without tensors.
  virtual double sum_squares(const std::vector<Tensor>& in) = 0;
  /// The sum of all elements, likewise.
  virtual double sum(const Tensor& in) = 0;
  /// Makes all updates, each with its own arguments. No tensor occurs twice.
  virtual void adam_step(const std::vector<AdamArgs>& updates) = 0;
  virtual void sgd_step(const std::vector<SgdArgs>& updates) = 0;

  // ---- recording ----------------------------------------------------------------------------
  /// Captures the work that work() queues on this device, at RngKey::step `step`, without running
  /// it. Returns null, without calling work(), if the backend does not support this. The captured
  /// work keeps the memory of tensors that work() makes. Tensors made before must live as long as
  /// the captured work. Throws what work() throws, and Error if work() waits for the device or
  /// copies from the host.
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
