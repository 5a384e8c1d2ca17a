// The host's side of attention: the choice of kernels, and the gradients' workspace. The kernels
// are in attention_*.cu.

#include <algorithm>
#include <array>
#include <climits>
#include <cmath>
#include <numbers>

#include "backend/attention_checks.h"
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

/// The first implementation that accepts a problem computes it; the best stands first.
template <class T>
constexpr std::array kImplementations = {AttentionImplementation{
    "mma.sync", always, std::numbers::log2e_v<float>, cuda::attention_forward_half<T>,
    cuda::attention_backward_half<T>, cuda::attention_logit_gradients_half<T>}};
template <>
constexpr std::array kImplementations<float> = {
    AttentionImplementation{"fma", always, 1.0f, cuda::attention_forward_f32,
                            cuda::attention_backward_f32, cuda::attention_logit_gradients_f32}};

template <class T>
const AttentionImplementation& choose(const AttentionProblem& p, const AttentionDevice& device) {
  for (const AttentionImplementation& one : kImplementations<T>) {
    if (one.accepts(p, device)) return one;
  }
  throw ShapeError("attention: no kernel for heads of {} on sm_{}", p.head_size,
                   device.architecture);
}

// ---- arguments ---------------------------------------------------------------------------------

void require_valid(const AttentionArgs& args) {
  checks::require_attention(op(), args);
  const PlanTensors& plan = args.plan;
  SSA_CHECK(plan.windows() * plan.sources_per_window() <= INT_MAX,
            "attention: {} windows of {} sources are too many for the cuda backend", plan.windows(),
            plan.sources_per_window());
}

// ---- problems ----------------------------------------------------------------------------------

/// The kernels only write through the outputs; one type serves inputs and outputs.
HeadRows head_rows(const Tensor& tensor) {
  return {const_cast<std::byte*>(tensor.raw()), tensor.stride(0), tensor.stride(1)};
}

/// Whether every head of every row begins at a 16-byte boundary and fills whole 16 bytes.
bool in_vectors(std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* tensor : tensors) {
    const auto per_vector = static_cast<int64_t>(16 / size_of(tensor->dtype()));
    if (reinterpret_cast<uintptr_t>(tensor->raw()) % 16 != 0 || tensor->dim(3) % per_vector != 0 ||
        tensor->stride(0) % per_vector != 0 || tensor->stride(1) % per_vector != 0) {
      return false;
    }
  }
  return true;
}

cuda::RelativeBias relative_bias(const AttentionArgs& args) {
  if (!args.relative_table.defined()) return {};
  const PositionGrid grid(args);
  SSA_CHECK(grid.table_rows() <= INT_MAX, "attention: a relative_table of {} rows is too large",
            grid.table_rows());
  SSA_CHECK(grid.row_positions() <= INT_MAX, "attention: a grid of {} columns is too large",
            args.grid_columns);
  const auto size = [](int64_t value) { return static_cast<int>(value); };
  return {.table = args.relative_table.data<float>(),
          .row_positions = size(grid.row_positions()),
          .channels = size(grid.grid_channels()),
          .column_stride = size(grid.column_stride()),
          .rows = size(grid.rows()),
          .reach_across = size(grid.reach_across())};
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
          .relative = relative_bias(args),
          .regions = args.regions.defined() ? args.regions.data<int32_t>() : nullptr,
          .region_stride = args.regions.defined() ? size(region_stride(args)) : 0,
          .dropout = cuda::weight_dropout(args.dropout),
          .errors = cuda::error_record()};
}

dim3 grid_of(int64_t blocks) {
  SSA_CHECK(blocks <= INT_MAX, "attention: {} blocks of targets are too many for the cuda backend",
            blocks);
  return dim3(static_cast<unsigned>(blocks));
}

bool empty(const AttentionProblem& p) {
  return p.batch == 0 || p.length == 0 || p.heads == 0 || p.head_size == 0;
}

/// Uninitialised device memory for one call. It may be released while kernels still use it, since
/// all work is ordered on one stream.
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

/// Whether every row of key and value is a source of the only window, so that its kernel writes all
/// their gradients. (Sources of a window are distinct.)
bool covers_all(const AttentionProblem& p) {
  return p.compact || (p.windows == 1 && p.sources == p.length);
}

/// Computes the gradients of keys and values by window, then their sum.
template <class T>
void backward_by_window(const AttentionProblem& p, AttentionGradients& gradients,
                        const AttentionImplementation& implementation, const int32_t* slots) {
  gradients.partial_stride = (p.head_size + 3) / 4 * 4;
  const int64_t rows = int64_t{p.batch} * p.windows * p.sources * p.heads;
  Workspace keys(rows * gradients.partial_stride), values(rows * gradients.partial_stride);
  gradients.partial_key = keys.as<float>();
  gradients.partial_value = values.as<float>();
  implementation.backward(p, gradients, cuda::attention_device());
  cuda::add_partial_gradients<T>(p, gradients, slots);
}

/// Adds to the gradient of a learned 2-D bias, for as many heads at a time as the workspace holds.
void add_relative_gradient(const AttentionProblem& p, const AttentionGradients& gradients,
                           const AttentionImplementation& implementation, const int32_t* slots,
                           float* grad_table) {
  constexpr int64_t kMostFloats = int64_t{16} << 20;
  const int64_t per_head = int64_t{p.length} * p.sources;
  const int heads = static_cast<int>(std::clamp<int64_t>(kMostFloats / per_head, 1, p.heads));
  Workspace sums(per_head * heads);
  for (int first = 0; first < p.heads; first += heads) {
    const cuda::LogitGradients logits = {first, std::min(heads, p.heads - first), sums.as<float>()};
    implementation.logit_gradients(p, gradients, logits, cuda::attention_device());
    cuda::add_relative_gradient(p, logits, slots, grad_table);
  }
}

template <class T>
void backward(const AttentionProblem& p, AttentionGradients& gradients, float* grad_table) {
  const AttentionDevice& device = cuda::attention_device();
  const AttentionImplementation& implementation = choose<T>(p, device);
  Workspace statistics(int64_t{p.batch} * p.heads * p.length * 2);
  gradients.statistics = statistics.as<cuda::TargetStatistics>();
  cuda::attention_statistics<T>(p, gradients.grad_out, implementation.lse_factor,
                                statistics.as<cuda::TargetStatistics>());
  const bool wants_slots = p.windows > 1 || grad_table != nullptr;
  Workspace slots(wants_slots ? int64_t{p.windows} * p.length : 0);
  if (wants_slots) cuda::find_slots(p, slots.as<int32_t>());
  if (grad_table != nullptr) {
    add_relative_gradient(p, gradients, implementation, slots.as<int32_t>(), grad_table);
  }
  if (p.windows > 1) {
    return backward_by_window<T>(p, gradients, implementation, slots.as<int32_t>());
  }
  if (!covers_all(p)) {
    cuda::clear_heads<T>(p, gradients.grad_key, p.length);
    cuda::clear_heads<T>(p, gradients.grad_value, p.length);
  }
  implementation.backward(p, gradients, device);
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

cuda::WeightDropout cuda::weight_dropout(const Dropout& dropout) {
  return {step_key(dropout.key), dropout.threshold(),
          static_cast<float>(1.0 / (1.0 - dropout.probability))};
}

dim3 cuda::attention_grid(const AttentionProblem& p, const AttentionLaunch& shape) {
  return grid_of(int64_t{p.batch} * p.windows * p.heads * shape.row_blocks);
}

dim3 cuda::logit_grid(const AttentionProblem& p, const LogitGradients& logits, int row_blocks,
                      int column_blocks) {
  return grid_of(int64_t{logits.count} * p.windows * row_blocks * column_blocks);
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
  checks::require_attention_gradients(op(), args);
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
  float* grad_table =
      args.grad_relative_table.defined() ? args.grad_relative_table.data<float>() : nullptr;
  cuda::visit_data(forward.query.dtype(),
                   [&]<class T>(TypeTag<T>) { backward<T>(problem, gradients, grad_table); });
}

}  // namespace ssa
