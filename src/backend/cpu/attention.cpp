// Attention on the CPU: checks its arguments and divides the work among threads. The arithmetic is
// in kernels/attention_*.cpp.

#include <algorithm>
#include <numeric>
#include <vector>

#include <omp.h>

#include "backend/attention_checks.h"
#include "backend/cpu/bias_gradient.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout_stream.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/relative_bias.h"
#include "backend/cpu/workspace.h"
#include "backend/cpu/workspace_sizes.h"

namespace ssa {

using cpu::BufferSizes;
using cpu::kernels;
using cpu::Workspace;

namespace {

/// f32, or bf16 where the queries are.
DType data_type(const AttentionArgs& args) {
  return args.query.dtype() == DType::bf16 ? DType::bf16 : DType::f32;
}

const cpu::AttentionKernels& attention_kernels(const AttentionArgs& args) {
  return data_type(args) == DType::bf16 ? kernels().attention_bf16 : kernels().attention_f32;
}

void require_valid(const AttentionArgs& args) {
  checks::require_attention("attention", args);
  const Tensor &targets = args.plan.targets, &sources = args.plan.sources;
  const int64_t start = args.query_start, end = start + args.query.dim(1);
  const int64_t target_count = targets.numel(), source_count = sources.numel();
  checks::require_ids("attention", "targets", targets.view({target_count}), target_count, start,
                      end);
  checks::require_ids("attention", "sources", sources.view({source_count}), source_count, 0, end);
}

/// Inputs and outputs have the same type; kernels write to outputs only.
cpu::HeadRows head_rows(const Tensor& tensor) {
  return {const_cast<std::byte*>(tensor.raw()), tensor.stride(0), tensor.stride(1), tensor.dim(3)};
}

/// 0 … count-1
std::vector<int32_t> first_numbers(int64_t count) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// The plan as kernels read it: a target's position is also its row in query. Where queries start
/// at a later position, all positions are counted from that one; biases and masks depend on
/// differences only.
class PlanIndices {
 public:
  explicit PlanIndices(const AttentionArgs& args)
      : row_numbers_(first_numbers(args.plan.sources_per_window())),
        targets_(args.plan.targets.data<int32_t>()),
        sources_(args.plan.sources.data<int32_t>()),
        source_rows_(args.compact_sources ? row_numbers_.data() : sources_) {
    if (args.query_start == 0) return;
    targets_ = moved(args.plan.targets, args.query_start, moved_targets_);
    sources_ = moved(args.plan.sources, args.query_start, moved_sources_);
  }
  PlanIndices(const PlanIndices&) = delete;
  PlanIndices& operator=(const PlanIndices&) = delete;
  const int32_t* targets() const { return targets_; }
  const int32_t* sources() const { return sources_; }
  const int32_t* source_rows() const { return source_rows_; }
  const std::vector<int32_t>& row_numbers() const { return row_numbers_; }

 private:
  static const int32_t* moved(const Tensor& positions, int64_t start, std::vector<int32_t>& to) {
    const auto* from = positions.data<int32_t>();
    for (int64_t i = 0; i < positions.numel(); ++i) {
      to.push_back(from[i] - static_cast<int32_t>(start));
    }
    return to.data();
  }
  std::vector<int32_t> row_numbers_, moved_targets_, moved_sources_;
  const int32_t *targets_, *sources_, *source_rows_;
};

/// Regions by position, counted as PlanIndices does.
const int32_t* first_regions(const AttentionArgs& args) {
  return args.regions.defined() ? args.regions.data<int32_t>() + args.query_start : nullptr;
}

/// The sizes alone, on which the workspaces depend.
cpu::AttentionProblem extents_of(const AttentionArgs& args) {
  cpu::AttentionProblem problem{};
  problem.length = args.query.dim(1);
  problem.heads = args.query.dim(2);
  problem.head_size = args.query.dim(3);
  problem.targets_per_window = args.plan.targets_per_window();
  problem.sources_per_window = args.plan.sources_per_window();
  return problem;
}

cpu::AttentionProblem make_problem(const AttentionArgs& args, const PlanIndices& plan,
                                   const cpu::RelativeBias& bias,
                                   const cpu::DropoutStream& dropout) {
  Tensor lse = args.lse;
  cpu::AttentionProblem problem = extents_of(args);
  problem.query = head_rows(args.query);
  problem.key = head_rows(args.key);
  problem.value = head_rows(args.value);
  problem.out = head_rows(args.out);
  problem.lse = lse.data<float>();
  problem.targets = plan.targets();
  problem.sources = plan.sources();
  problem.source_rows = plan.source_rows();
  problem.scale = static_cast<float>(args.scale);
  problem.causal = args.causal;
  if (args.alibi_slopes.defined()) problem.alibi_slopes = args.alibi_slopes.data<float>();
  problem.relative = bias.tables(args.query_start);
  problem.regions = first_regions(args);
  problem.region_stride = args.regions.defined() ? region_stride(args) : 0;
  if (args.dropout.active()) problem.dropout = &dropout;
  return problem;
}

/// How many targets one call of the forward kernel computes. Each call packs keys and values again,
/// so many targets are better; but they must fit the cache, and every thread needs calls.
int64_t targets_per_call(const cpu::AttentionProblem& problem, int64_t sequences) {
  constexpr int64_t kCachedElements = 65536, kCallsPerThread = 4;
  int64_t targets = cpu::kMostTargets;
  const auto too_few_calls = [&] {
    const int64_t calls = sequences * ((problem.targets_per_window + targets - 1) / targets);
    return calls < kCallsPerThread * omp_get_max_threads();
  };
  while (targets > cpu::kTargetTile &&
         (targets * problem.head_size > kCachedElements || too_few_calls())) {
    targets /= 2;
  }
  return targets;
}

/// Number of (sequence, head, window) triples.
int64_t window_sequences(const AttentionArgs& args) {
  return args.query.dim(0) * args.query.dim(2) * args.plan.windows();
}

BufferSizes forward_scratch(const AttentionArgs& args, const cpu::AttentionProblem& problem) {
  const int64_t chunk = targets_per_call(problem, window_sequences(args));
  return {omp_get_max_threads(), attention_kernels(args).forward_scratch(problem, chunk)};
}

}  // namespace

std::vector<int64_t> cpu::attention_workspaces(const AttentionArgs& args) {
  std::vector<int64_t> bytes = relative_bias_workspace(args);
  bytes.push_back(forward_scratch(args, extents_of(args)).bytes());
  return bytes;
}

void CpuBackend::attention(AttentionArgs& args) {
  require_valid(args);
  const cpu::DropoutStream dropout = cpu::dropout_stream("attention", args.dropout);
  const PlanIndices plan(args);
  const cpu::RelativeBias bias(args);
  const cpu::AttentionProblem problem = make_problem(args, plan, bias, dropout);
  const cpu::AttentionKernels& chosen = attention_kernels(args);
  const int64_t windows = args.plan.windows();
  const int64_t sequences = window_sequences(args);
  const int64_t chunk = targets_per_call(problem, sequences);
  const int64_t chunks = (problem.targets_per_window + chunk - 1) / chunk;
  const Workspace scratch(forward_scratch(args, problem));
  cpu::parallel_items(sequences * chunks, [&](int64_t item) {
    const int64_t first = item % chunks * chunk;
    const int64_t window = item / chunks % windows;
    const int64_t head = item / chunks / windows % problem.heads;
    const int64_t batch = item / chunks / windows / problem.heads;
    const int64_t count = std::min(chunk, problem.targets_per_window - first);
    chosen.forward(problem, {batch, head, window, first, count}, scratch.of_thread());
  });
}

namespace {

/// What the threads share in a backward pass.
enum class BackwardShares {
  heads,    ///< each computes all windows of a head
  windows,  ///< of few heads; gradients of keys and values are summed over windows afterwards
  tiles     ///< of few windows too
};

/// Gradients of queries and those of keys and values need other cuts of a window, so that sharing
/// tiles takes 7 products instead of 5.
BackwardShares shares_of(const AttentionArgs& args, int64_t heads, bool bias_gradient) {
  const int64_t threads = omp_get_max_threads(), windows = args.plan.windows();
  if (heads >= threads) return BackwardShares::heads;
  const bool worth_it = 7 * heads * windows < 5 * threads;
  const bool several = args.plan.sources_per_window() > cpu::kBackwardTile;
  if (worth_it && several && !bias_gradient) return BackwardShares::tiles;
  return windows > 1 ? BackwardShares::windows : BackwardShares::heads;
}

/// How a backward pass is divided, and the memory it needs.
struct BackwardSizes {
  BackwardSizes(const AttentionArgs& args, const cpu::AttentionProblem& problem, bool bias_gradient,
                int64_t bias_size = 0)
      : heads(args.query.dim(0) * problem.heads),
        row_stride((problem.head_size + 15) / 16 * 16),
        shares(shares_of(args, heads, bias_gradient)),
        in_place(data_type(args) == DType::f32),
        scratch(omp_get_max_threads(), attention_kernels(args).backward_scratch(problem)),
        sums(in_place ? 0 : (shares == BackwardShares::tiles ? heads : omp_get_max_threads()),
             2 * args.key.dim(1) * row_stride),
        parts(shares == BackwardShares::windows ? heads * args.plan.windows() : 0,
              2 * problem.sources_per_window * row_stride + bias_size) {}

  int64_t heads;  // of all sequences
  int64_t row_stride;
  BackwardShares shares;
  bool in_place;  // sums need no f32 buffer of their own
  BufferSizes scratch, sums, parts;
};

/// Computes all gradients. Several windows may sample the same position: their gradients are summed
/// in f32, in the order of the windows, and rounded once. The order is the same whatever the
/// threads share. The same holds for a learned 2-D bias.
class BackwardPass {
 public:
  BackwardPass(AttentionBackwardArgs& args, const cpu::AttentionProblem& problem,
               const std::vector<int32_t>& row_numbers, const cpu::RelativeBias& bias)
      : args_(args),
        problem_(problem),
        row_numbers_(row_numbers.data()),
        kernels_(attention_kernels(args.forward)),
        windows_(args.forward.plan.windows()),
        bias_gradient_(bias, args.forward.query.dim(0) * problem.heads,
                       args.grad_relative_table.defined()),
        sizes_(args.forward, problem, args.grad_relative_table.defined(),
               bias_gradient_.window_size()),
        heads_(sizes_.heads),
        row_stride_(sizes_.row_stride),
        in_place_(sizes_.in_place),
        scratch_(sizes_.scratch),
        sums_(sizes_.sums) {}

  void run() {
    switch (sizes_.shares) {
      case BackwardShares::heads:
        run_heads();
        break;
      case BackwardShares::windows:
        run_windows();
        break;
      case BackwardShares::tiles:
        run_tiles();
        break;
    }
    bias_gradient_.add_to(args_.grad_relative_table, args_.forward.query.dim(0));
  }

 private:
  struct Sums {
    cpu::SumRows key, value;
  };

  void run_heads() {
    cpu::parallel_items(heads_, [&](int64_t head) {
      const Sums sums = sums_at(head, omp_get_thread_num());
      clear(sums);
      bias_gradient_.begin_head(head);
      for (int64_t window = 0; window < windows_; ++window) {
        float* bias = bias_gradient_.begin_window(window);
        const int32_t* rows = problem_.source_rows + window * problem_.sources_per_window;
        run_window(head, window, sums, bias, rows);
        bias_gradient_.add_window(head, window, bias);
      }
      bias_gradient_.end_head(head);
      write(head, sums);
    });
  }

  /// Windows first, each on its own; then the sums over the windows of each head.
  void run_windows() {
    const Workspace parts(sizes_.parts);
    cpu::parallel_items(heads_ * windows_, [&](int64_t item) {
      std::fill_n(parts.part(item), parts.floats(), 0.0f);
      const auto [sums, bias] = window_part(parts, item);
      run_window(item / windows_, item % windows_, sums, bias, row_numbers_);
    });
    cpu::parallel_items(heads_, [&](int64_t head) {
      const Sums sums = sums_at(head, omp_get_thread_num());
      clear(sums);
      bias_gradient_.begin_head(head);
      for (int64_t window = 0; window < windows_; ++window) {
        const auto [from, bias] = window_part(parts, head * windows_ + window);
        const int32_t* row = problem_.source_rows + window * problem_.sources_per_window;
        for (int64_t s = 0; s < problem_.sources_per_window; ++s) {
          add_row(from.key, s, sums.key, row[s]);
          add_row(from.value, s, sums.value, row[s]);
        }
        bias_gradient_.add_window(head, window, bias);
      }
      bias_gradient_.end_head(head);
      write(head, sums);
    });
  }

  /// One window after the other. Some items are ranges of its sources, for the gradients of keys
  /// and values, the others ranges of its targets, for those of queries.
  void run_tiles() {
    cpu::parallel_items(heads_, [&](int64_t head) { clear(sums_at(head, head)); });
    const int64_t targets = problem_.targets_per_window, sources = problem_.sources_per_window;
    const int64_t source_part = part_of(sources), target_part = part_of(targets);
    const int64_t source_parts = (sources + source_part - 1) / source_part;
    const int64_t parts = source_parts + (targets + target_part - 1) / target_part;
    for (int64_t window = 0; window < windows_; ++window) {
      const int32_t* rows = problem_.source_rows + window * sources;
      cpu::parallel_items(heads_ * parts, [&](int64_t item) {
        const int64_t head = item / parts, part = item % parts;
        cpu::AttentionGradients gradients = gradients_of(sums_at(head, head), rows);
        gradients.of_sources = part < source_parts;
        gradients.of_queries = !gradients.of_sources;
        const int64_t source = gradients.of_sources ? part * source_part : 0;
        const int64_t target = gradients.of_queries ? (part - source_parts) * target_part : 0;
        const int64_t most_sources = gradients.of_sources ? source_part : sources;
        const int64_t most_targets = gradients.of_queries ? target_part : targets;
        kernels_.backward(problem_, gradients,
                          {head / problem_.heads, head % problem_.heads, window, target,
                           std::min(most_targets, targets - target)},
                          {source, std::min(most_sources, sources - source)}, scratch_.of_thread());
      });
    }
    cpu::parallel_items(heads_, [&](int64_t head) { write(head, sums_at(head, head)); });
  }

  /// Elements of a range, so that each thread gets about two ranges of each kind.
  int64_t part_of(int64_t elements) const {
    const int64_t tiles = (elements + cpu::kBackwardTile - 1) / cpu::kBackwardTile;
    const int64_t wanted = (2 * omp_get_max_threads() + heads_ - 1) / heads_;
    return (tiles + wanted - 1) / wanted * cpu::kBackwardTile;
  }

  /// The sums of one window of one head, and where its gradient of the bias is.
  std::pair<Sums, float*> window_part(const Workspace& parts, int64_t number) const {
    float* keys = parts.part(number);
    float* values = keys + problem_.sources_per_window * row_stride_;
    float* bias = values + problem_.sources_per_window * row_stride_;
    return {{{keys, row_stride_}, {values, row_stride_}}, bias};
  }

  cpu::AttentionGradients gradients_of(const Sums& sums, const int32_t* rows) const {
    return {.grad_out = head_rows(args_.grad_out),
            .grad_query = head_rows(args_.grad_query),
            .grad_key = sums.key,
            .grad_value = sums.value,
            .rows = rows,
            .relative_band = nullptr,
            .relative_tile = nullptr};
  }

  void run_window(int64_t head, int64_t window, const Sums& sums, float* bias,
                  const int32_t* rows) const {
    cpu::AttentionGradients gradients = gradients_of(sums, rows);
    bias_gradient_.add_at(bias, gradients);
    kernels_.backward(
        problem_, gradients,
        {head / problem_.heads, head % problem_.heads, window, 0, problem_.targets_per_window},
        {0, problem_.sources_per_window}, scratch_.of_thread());
  }

  void add_row(const cpu::SumRows& from, int64_t from_row, const cpu::SumRows& to,
               int64_t to_row) const {
    const float* in = from.data + from_row * from.row_stride;
    float* out = to.data + to_row * to.row_stride;
    for (int64_t d = 0; d < problem_.head_size; ++d) out[d] += in[d];
  }

  /// The gradients themselves where they are f32, else a buffer.
  Sums sums_at(int64_t head, int64_t buffer) const {
    if (in_place_) return {in_place(args_.grad_key, head), in_place(args_.grad_value, head)};
    float* keys = sums_.part(buffer);
    return {{keys, row_stride_}, {keys + args_.grad_key.dim(1) * row_stride_, row_stride_}};
  }

  void clear(const Sums& sums) const {
    for (const cpu::SumRows& part : {sums.key, sums.value}) {
      for (int64_t n = 0; n < args_.grad_key.dim(1); ++n) {
        std::fill_n(part.data + n * part.row_stride, problem_.head_size, 0.0f);
      }
    }
  }

  cpu::SumRows in_place(Tensor& gradient, int64_t head) const {
    return {gradient.data<float>() + offset(gradient, head), gradient.stride(1)};
  }
  int64_t offset(const Tensor& gradient, int64_t head) const {
    return head / problem_.heads * gradient.stride(0) + head % problem_.heads * problem_.head_size;
  }

  void write(int64_t head, const Sums& sums) const {
    if (in_place_) return;
    write_rows(sums.key, head, args_.grad_key);
    write_rows(sums.value, head, args_.grad_value);
  }
  void write_rows(const cpu::SumRows& sums, int64_t head, Tensor& gradient) const {
    BFloat16* first = gradient.data<BFloat16>() + offset(gradient, head);
    for (int64_t n = 0; n < gradient.dim(1); ++n) {
      kernels_.write_row(sums.data + n * sums.row_stride, first + n * gradient.stride(1),
                         problem_.head_size);
    }
  }

  AttentionBackwardArgs& args_;
  const cpu::AttentionProblem& problem_;
  const int32_t* row_numbers_;
  const cpu::AttentionKernels& kernels_;
  int64_t windows_;
  cpu::BiasGradient bias_gradient_;
  BackwardSizes sizes_;
  int64_t heads_;  // of all sequences
  int64_t row_stride_;
  bool in_place_;
  Workspace scratch_;
  Workspace sums_;
};

}  // namespace

std::vector<int64_t> cpu::attention_backward_workspaces(const AttentionBackwardArgs& args) {
  const BackwardSizes sizes(args.forward, extents_of(args.forward),
                            args.grad_relative_table.defined());
  std::vector<int64_t> bytes = relative_bias_workspace(args.forward);
  bytes.insert(bytes.end(), {sizes.scratch.bytes(), sizes.sums.bytes()});
  if (sizes.shares == BackwardShares::windows) bytes.push_back(sizes.parts.bytes());
  if (args.grad_relative_table.defined()) {
    const std::vector<int64_t> gradient = relative_bias_gradient_workspace(args.forward);
    bytes.insert(bytes.end(), gradient.begin(), gradient.end());
  }
  return bytes;
}

void CpuBackend::attention_backward(AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  require_valid(forward);
  checks::require_attention_gradients("attention", args);
  const cpu::DropoutStream dropout = cpu::dropout_stream("attention", forward.dropout);
  const PlanIndices plan(forward);
  const cpu::RelativeBias bias(forward);
  const cpu::AttentionProblem problem = make_problem(forward, plan, bias, dropout);
  BackwardPass(args, problem, plan.row_numbers(), bias).run();
}

}  // namespace ssa
