// Checks of attention, what is chosen for a device, and the gradients' workspace; the kernels are
// in attention_*.cu.

#include <array>
#include <climits>
#include <cmath>
#include <numbers>

#include "backend/checks.h"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/attention_sums.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/visit_data.h"

namespace ssa {

namespace {

using cuda::AttentionDevice;
using cuda::AttentionGradients;
using cuda::AttentionImplementation;
using cuda::AttentionProblem;
using cuda::HeadRows;

const checks::Op& op() {
  static const checks::Op instance("attention", Device::cuda);
  return instance;
}

// ---- implementations ---------------------------------------------------------------------------

bool always(const AttentionProblem&, const AttentionDevice&) { return true; }

/// Best first: the first that accepts a problem computes it.
template <class T>
constexpr std::array kImplementations = {
    AttentionImplementation{"mma.sync", always, std::numbers::log2e_v<float>,
                            cuda::attention_forward_half<T>, cuda::attention_backward_half<T>}};
template <>
constexpr std::array kImplementations<float> = {AttentionImplementation{
    "fma", always, 1.0f, cuda::attention_forward_f32, cuda::attention_backward_f32}};

template <class T>
const AttentionImplementation& choose(const AttentionProblem& p, const AttentionDevice& device) {
  for (const AttentionImplementation& one : kImplementations<T>) {
    if (one.accepts(p, device)) return one;
  }
  throw ShapeError("attention: no kernel for heads of {} on sm_{}", p.head_size,
                   device.architecture);
}

// ---- arguments ---------------------------------------------------------------------------------

void require_no_extras(const AttentionArgs& args) {
  constexpr const char* kMessage = "attention: the cuda backend has no {} yet";
  SSA_CHECK(!args.relative_table.defined(), kMessage, "learned 2-D bias");
  SSA_CHECK(!args.pair_bias.defined(), kMessage, "pair bias");
  SSA_CHECK(!args.pair_gate.defined(), kMessage, "pair gate");
  SSA_CHECK(args.logit_clip == 0, kMessage, "clipping of logits");
}

/// (B, N, H, D) with contiguous heads; rows may be strided.
void require_heads(const checks::Named& argument, DType dtype, const Shape& shape) {
  checks::require(op(), argument, dtype, shape);
  const Tensor& tensor = argument.tensor;
  SSA_CHECK(
      (shape[3] == 1 || tensor.stride(3) == 1) && (shape[2] == 1 || tensor.stride(2) == shape[3]),
      "attention: the {}-wide rows of {} must be contiguous", shape[2] * shape[3], argument.name);
}

/// Of key, value and their gradients.
Shape source_shape(const AttentionArgs& args) {
  const Shape& shape = args.query.shape();
  const int64_t rows =
      args.compact_sources ? args.plan.sources_per_window() : args.query_start + shape[1];
  return {shape[0], rows, shape[2], shape[3]};
}

void require_plan(const AttentionArgs& args) {
  const PlanTensors& plan = args.plan;
  const int64_t length = args.query.dim(1), windows = plan.windows();
  SSA_CHECK(!args.compact_sources || windows == 1,
            "attention: compact sources want a plan of one window, not of {}", windows);
  SSA_CHECK(windows * plan.targets_per_window() == length,
            "attention: {} windows of {} targets do not make up {} positions", windows,
            plan.targets_per_window(), length);
  SSA_CHECK(plan.sources_per_window() > 0, "attention: windows without sources");
  checks::require_packed(op(), {"targets", plan.targets}, DType::i32, plan.targets.shape());
  checks::require_packed(op(), {"sources", plan.sources}, DType::i32,
                         {windows, plan.sources_per_window()});
  const int64_t start = args.query_start, end = start + length;
  SSA_CHECK(start >= 0, "attention: queries cannot start at position {}", start);
  SSA_CHECK(start == 0 || !args.dropout.active(),
            "attention: no dropout where queries start at position {}", start);
  SSA_CHECK(end <= (1 << 24), "attention: {} positions, but the cuda backend stops at {}", end,
            1 << 24);
  SSA_CHECK(windows * plan.sources_per_window() <= INT_MAX,
            "attention: {} windows of {} sources are too many for the cuda backend", windows,
            plan.sources_per_window());
}

void require_valid(const AttentionArgs& args) {
  require_no_extras(args);
  checks::require_rank(op(), {"query", args.query}, 4);
  checks::require_data_dtype(op(), {"query", args.query});
  checks::require_rank(op(), {"targets", args.plan.targets}, 2);
  checks::require_rank(op(), {"sources", args.plan.sources}, 2);
  require_plan(args);
  const Shape &shape = args.query.shape(), sources = source_shape(args);
  const DType dtype = args.query.dtype();
  require_heads({"query", args.query}, dtype, shape);
  require_heads({"key", args.key}, dtype, sources);
  require_heads({"value", args.value}, dtype, sources);
  require_heads({"out", args.out}, dtype, shape);
  checks::require_packed(op(), {"lse", args.lse}, DType::f32, {shape[0], shape[2], shape[1]});
  SSA_CHECK(args.dropout.probability >= 0 && args.dropout.probability < 1,
            "attention: dropout probability {} is outside [0, 1)", args.dropout.probability);
  if (args.alibi_slopes.defined()) {
    checks::require_packed(op(), {"alibi_slopes", args.alibi_slopes}, DType::f32, {shape[2]});
  }
}

// ---- problems ----------------------------------------------------------------------------------

/// The kernels only write through the outputs; one type serves inputs and outputs.
HeadRows head_rows(const Tensor& tensor) {
  return {const_cast<std::byte*>(tensor.raw()), tensor.stride(0), tensor.stride(1)};
}

/// Whether every head of every row begins at a 16-byte boundary and fills whole 16 bytes.
bool in_vectors(std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* tensor : tensors) {
    const auto a_vector = static_cast<int64_t>(16 / size_of(tensor->dtype()));
    if (reinterpret_cast<uintptr_t>(tensor->raw()) % 16 != 0 || tensor->dim(3) % a_vector != 0 ||
        tensor->stride(0) % a_vector != 0 || tensor->stride(1) % a_vector != 0) {
      return false;
    }
  }
  return true;
}

cuda::WeightDropout weight_dropout(const Dropout& dropout) {
  return {dropout.key, dropout.threshold(), static_cast<float>(1.0 / (1.0 - dropout.probability))};
}

AttentionProblem make_problem(const AttentionArgs& args) {
  const auto size = [&](int64_t value) { return static_cast<int>(value); };
  const Shape& shape = args.query.shape();
  Tensor lse = args.lse;
  return {.query = head_rows(args.query),
          .key = head_rows(args.key),
          .value = head_rows(args.value),
          .out = head_rows(args.out),
          .lse = lse.data<float>(),
          .batch = size(shape[0]),
          .length = size(shape[1]),
          .heads = size(shape[2]),
          .head_size = size(shape[3]),
          .windows = size(args.plan.windows()),
          .targets = size(args.plan.targets_per_window()),
          .sources = size(args.plan.sources_per_window()),
          .target_positions = args.plan.targets.data<int32_t>(),
          .source_positions = args.plan.sources.data<int32_t>(),
          .compact = args.compact_sources,
          .causal = args.causal,
          .vectors = in_vectors({&args.query, &args.key, &args.value, &args.out}),
          .query_start = size(args.query_start),
          .scale = static_cast<float>(args.scale),
          .slopes = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>() : nullptr,
          .dropout = weight_dropout(args.dropout),
          .errors = cuda::error_record()};
}

bool empty(const AttentionProblem& p) {
  return p.batch == 0 || p.length == 0 || p.heads == 0 || p.head_size == 0;
}

/// Uninitialised bytes on the device until the end of the call: work is freed in the order of the
/// stream.
class Workspace {
 public:
  explicit Workspace(int64_t floats)
      : tensor_(Tensor::empty({floats}, DType::f32, Device::cuda, MemoryCategory::workspace)) {}
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(tensor_.raw());
  }

 private:
  Tensor tensor_;
};

/// Every position is a source of the one window, so that writing the gradients of the window's
/// sources leaves out none. (Sources of a window are distinct.)
bool covers_all(const AttentionProblem& p) {
  return p.compact || (p.windows == 1 && p.sources == p.length);
}

template <class T>
void backward(AttentionProblem& p, AttentionGradients& gradients) {
  const AttentionDevice& device = cuda::attention_device();
  const AttentionImplementation& implementation = choose<T>(p, device);
  Workspace statistics(int64_t{p.batch} * p.heads * p.length * 2);
  gradients.statistics = statistics.as<cuda::TargetStatistics>();
  cuda::attention_statistics<T>(p, gradients.grad_out, implementation.lse_factor,
                                statistics.as<cuda::TargetStatistics>());
  if (p.windows == 1) {
    if (!covers_all(p)) {
      cuda::clear_heads<T>(p, gradients.grad_key, p.length);
      cuda::clear_heads<T>(p, gradients.grad_value, p.length);
    }
    implementation.backward(p, gradients, device);
    return;
  }
  gradients.partial_stride = (p.head_size + 3) / 4 * 4;
  const int64_t rows = int64_t{p.batch} * p.windows * p.sources * p.heads;
  Workspace keys(rows * gradients.partial_stride), values(rows * gradients.partial_stride);
  Workspace slots(int64_t{p.windows} * p.length);
  gradients.partial_key = keys.as<float>();
  gradients.partial_value = values.as<float>();
  implementation.backward(p, gradients, device);
  cuda::add_partial_gradients<T>(p, gradients, slots.as<int32_t>());
}

}  // namespace

AttentionDevice& cuda::attention_device() {
  static AttentionDevice instance = [] {
    const cudaDeviceProp gpu = gpu_properties();
    return AttentionDevice{10 * gpu.major + gpu.minor, gpu.sharedMemPerBlockOptin,
                           gpu.multiProcessorCount};
  }();
  return instance;
}

dim3 cuda::attention_grid(const AttentionProblem& p, const AttentionLaunch& shape) {
  const int64_t blocks = int64_t{p.batch} * p.windows * p.heads * shape.row_blocks;
  SSA_CHECK(blocks <= INT_MAX, "attention: {} blocks of targets are too many for the cuda backend",
            blocks);
  return dim3(static_cast<unsigned>(blocks));
}

void CudaBackend::attention(AttentionArgs& args) {
  require_valid(args);
  const AttentionProblem problem = make_problem(args);
  if (empty(problem)) return;
  cuda::visit_data(args.query.dtype(), [&]<class T>(TypeTag<T>) {
    const AttentionDevice& device = cuda::attention_device();
    choose<T>(problem, device).forward(problem, device);
  });
}

void CudaBackend::attention_backward(AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  require_valid(forward);
  SSA_CHECK(forward.query_start == 0, "attention: no gradient where queries start at {}",
            forward.query_start);
  const Shape &shape = forward.query.shape(), sources = source_shape(forward);
  const DType dtype = forward.query.dtype();
  require_heads({"grad_out", args.grad_out}, dtype, shape);
  require_heads({"grad_query", args.grad_query}, dtype, shape);
  require_heads({"grad_key", args.grad_key}, dtype, sources);
  require_heads({"grad_value", args.grad_value}, dtype, sources);
  AttentionProblem problem = make_problem(forward);
  if (empty(problem)) return;
  problem.vectors = problem.vectors && in_vectors({&args.grad_out, &args.grad_query, &args.grad_key,
                                                   &args.grad_value});
  AttentionGradients gradients = {.grad_out = head_rows(args.grad_out),
                                  .grad_query = head_rows(args.grad_query),
                                  .grad_key = head_rows(args.grad_key),
                                  .grad_value = head_rows(args.grad_value),
                                  .statistics = nullptr,
                                  .partial_key = nullptr,
                                  .partial_value = nullptr,
                                  .partial_stride = 0};
  cuda::visit_data(dtype, [&]<class T>(TypeTag<T>) { backward<T>(problem, gradients); });
}

}  // namespace ssa
