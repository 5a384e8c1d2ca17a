#include "backend/counting/counting_backend.h"

#include <vector>

#include "backend/cpu/workspace_sizes.h"

namespace ssa {

namespace {

Tensor buffer(int64_t bytes, MemoryCategory category) {
  return Tensor::empty({bytes}, DType::u8, Device::counting, category);
}

/// The workspace of a call, held as long as this object lives.
class Held {
 public:
  Held() = default;
  explicit Held(const std::vector<int64_t>& bytes) {
    for (const int64_t size : bytes) add(size);
  }
  void add(int64_t bytes) { buffers_.push_back(buffer(bytes, MemoryCategory::workspace)); }

 private:
  std::vector<Tensor> buffers_;
};

/// Only other devices compute in other dtypes. Their workspaces are not counted.
bool cpu_supports(DType data) { return data == DType::f32 || data == DType::bf16; }

int64_t packed_bytes(int64_t rows, int64_t columns, DType data) {
  return cpu_supports(data) ? cpu::packed_bytes(rows, columns, data)
                            : rows * columns * static_cast<int64_t>(size_of(data));
}

struct CountedMatrix : PackedMatrix {
  Tensor elements;
  CountedMatrix(int64_t rows, int64_t columns, DType data)
      : PackedMatrix(rows, columns, data),
        elements(buffer(packed_bytes(rows, columns, data), MemoryCategory::parameters)) {}
};

double real(int64_t number) { return static_cast<double>(number); }

/// T·S·D over all windows, heads and sequences.
double pair_elements(const AttentionArgs& args) {
  const Shape& shape = args.query.shape();
  return real(shape[0]) * real(shape[2]) * real(shape[3]) * real(args.plan.windows()) *
         real(args.plan.targets_per_window()) * real(args.plan.sources_per_window());
}

/// The same for graphs, as if every graph had the same share of its nodes sampled.
double pair_elements(const GraphAttentionArgs& args) {
  const Shape& shape = args.query.shape();
  if (shape[0] == 0) return 0;
  return real(args.classes.numel()) * real(args.key.dim(0)) / real(shape[0]) * real(shape[1]) *
         real(shape[2]);
}

constexpr double kForward = 4;    // logits, and the weighted sum of values
constexpr double kBackward = 10;  // logits again; gradients of weights, values, queries and keys

}  // namespace

void CountingBackend::count(std::string_view primitive, const Tensor& out) {
  tally_.elements[std::string(primitive)] += real(out.numel());
}

void CountingBackend::count_products(CountedProduct product, int64_t times) {
  product.of_vocabulary = counts_vocabulary();
  tally_.products[product] += times;
}

// ---- matrix products ---------------------------------------------------------------------------

void CountingBackend::matmul(const MatmulArgs& args) {
  using Kind = CountedProduct::Kind;
  const Kind kind = args.packed_b      ? Kind::weights
                    : args.transpose_a ? Kind::weight_gradient
                                       : Kind::data;
  count_products({kind, args.out.dim(0), args.out.dim(1), args.a.dim(args.transpose_a ? 0 : 1)}, 1);
  Held held;
  if (cpu_supports(args.a.dtype()) && !cpu::multiplies_in(args.a.dtype())) {  // in f32 instead
    for (const Tensor& tensor : {args.a, args.b, args.residual, args.out}) {
      if (tensor.defined() && size_of(tensor.dtype()) < 4) held.add(tensor.numel() * 4);
    }
  }
}

void CountingBackend::batched_matmul(const BatchedMatmulArgs& args) {
  const Shape& out = args.out.shape();
  count_products({CountedProduct::Kind::data, out[2], out[3], args.a.dim(args.transpose_a ? 2 : 3)},
                 out[0] * out[1]);
}

std::shared_ptr<PackedMatrix> CountingBackend::pack(const std::vector<Tensor>& parts,
                                                    bool transpose, DType data,
                                                    std::shared_ptr<PackedMatrix> reuse) {
  int64_t stacked = 0;
  for (const Tensor& part : parts) stacked += part.dim(0);
  const int64_t width = parts.front().dim(1);
  const Held held(cpu::packing_workspace(parts, transpose));
  tally_.elements["pack"] += real(stacked) * real(width);
  if (reuse) return reuse;  // it has the same shapes
  return transpose ? std::make_shared<CountedMatrix>(width, stacked, data)
                   : std::make_shared<CountedMatrix>(stacked, width, data);
}

// ---- attention ---------------------------------------------------------------------------------

void CountingBackend::attention(AttentionArgs& args) {
  tally_.attention_flop += kForward * pair_elements(args);
  const Held held(cpu::attention_workspaces(args));
}

void CountingBackend::attention_backward(AttentionBackwardArgs& args) {
  tally_.attention_backward_flop += kBackward * pair_elements(args.forward);
  const Held held(cpu::attention_backward_workspaces(args));
}

void CountingBackend::graph_attention(GraphAttentionArgs& args) {
  tally_.attention_flop += kForward * pair_elements(args);
  const Held held(cpu::graph_attention_workspaces(args));
}

void CountingBackend::graph_attention_backward(GraphAttentionBackwardArgs& args) {
  tally_.attention_backward_flop += kBackward * pair_elements(args.forward);
  const Held held(cpu::graph_attention_backward_workspaces(args));
}

void CountingBackend::masked_softmax(const MaskedSoftmaxArgs& args) {
  count("masked_softmax", args.out);
}

void CountingBackend::masked_softmax_backward(const Tensor&, double, const Tensor&,
                                              Tensor& grad_logits) {
  count("masked_softmax_backward", grad_logits);
}

// ---- primitives that read and write each element once
// -------------------------------------------------------

void CountingBackend::fill(Tensor& out, double) { count("fill", out); }
void CountingBackend::copy(const Tensor&, Tensor& out) { count("copy", out); }
void CountingBackend::add(const Tensor&, const Tensor&, Tensor& out) { count("add", out); }
void CountingBackend::scale(const Tensor&, double, Tensor& out) { count("scale", out); }
void CountingBackend::activation(Activation, const Tensor&, Tensor& out) {
  count("activation", out);
}
void CountingBackend::activation_backward(Activation, const Tensor&, const Tensor&, Tensor& grad_in,
                                          Tensor&) {
  count("activation_backward", grad_in);
}
void CountingBackend::dropout(const Dropout&, const Tensor&, const Tensor&, Tensor& out) {
  count("dropout", out);
}
void CountingBackend::gather_rows(const Tensor&, const Tensor&, Tensor& out) {
  count("gather_rows", out);
}
void CountingBackend::gather_rows_backward(const Tensor&, const Tensor& grad_out, Tensor&) {
  count("gather_rows_backward", grad_out);
}
void CountingBackend::column_sum(const Tensor& in, Tensor&, bool) { count("column_sum", in); }
void CountingBackend::layer_norm(const Tensor&, const Tensor&, const Tensor&, double, Tensor& out,
                                 Tensor&, Tensor&) {
  count("layer_norm", out);
}
void CountingBackend::layer_norm_backward(const LayerNormBackwardArgs& args) {
  count("layer_norm_backward", args.grad_in);
}
void CountingBackend::embedding(const Tensor&, const Tensor&, double, Tensor& out) {
  count("embedding", out);
}
void CountingBackend::embedding_backward(const Tensor&, double, const Tensor& grad_out, Tensor&) {
  count("embedding_backward", grad_out);
}
void CountingBackend::cross_entropy(const Tensor& logits, const Tensor&, Tensor&, Tensor&) {
  count("cross_entropy", logits);
}
void CountingBackend::cross_entropy_backward(const Tensor&, const Tensor&, const Tensor&,
                                             const Tensor&, Tensor& grad_logits) {
  count("cross_entropy_backward", grad_logits);
}
void CountingBackend::soft_cross_entropy(const Tensor& logits, const SoftTargets&, Tensor&,
                                         Tensor&) {
  count("soft_cross_entropy", logits);
}
void CountingBackend::soft_cross_entropy_backward(const Tensor&, const SoftTargets&, const Tensor&,
                                                  const Tensor&, Tensor& grad_logits) {
  count("soft_cross_entropy_backward", grad_logits);
}
void CountingBackend::absolute_error(const Tensor&, const Tensor&, Tensor& loss) {
  count("absolute_error", loss);
}
void CountingBackend::absolute_error_backward(const Tensor&, const Tensor&, const Tensor&,
                                              Tensor& grad_prediction) {
  count("absolute_error_backward", grad_prediction);
}
void CountingBackend::patches(const PatchArgs& args) { count("patches", args.out); }
void CountingBackend::mean_positions(const Tensor& in, Tensor&) { count("mean_positions", in); }
void CountingBackend::mean_positions_backward(const Tensor&, Tensor& grad_in) {
  count("mean_positions_backward", grad_in);
}

// ---- reductions and optimizers -----------------------------------------------------------------

double CountingBackend::sum_squares(const std::vector<Tensor>& in) {
  for (const Tensor& tensor : in) count("sum_squares", tensor);
  return 0;
}
double CountingBackend::sum(const Tensor& in) {
  count("sum", in);
  return 0;
}
void CountingBackend::update(std::string_view primitive, Tensor parameter) {
  parameter.raw();  // marks it as written, so that packed copies are made again
  count(primitive, parameter);
}
void CountingBackend::adam_step(const std::vector<AdamArgs>& updates) {
  for (const AdamArgs& args : updates) update("adam_step", args.parameter);
}
void CountingBackend::sgd_step(const std::vector<SgdArgs>& updates) {
  for (const SgdArgs& args : updates) update("sgd_step", args.parameter);
}

}  // namespace ssa
