// Attention over a source plan and its gradients for f32 data, with fused multiply-adds on tiles in
// shared memory. The algorithms are those of attention_forward.cu and attention_backward.cu, but
// tiles are loaded when they are needed, not ahead.
//
// A block's 256 threads form a 16×16 square. Thread (y, x) owns rows kRows·y … kRows·y + kRows-1,
// and columns x, x + 16, … of the products, so half a warp owns a row.

#include "backend/cuda/attention.cuh"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.h"

namespace ssa::cuda {

namespace {

constexpr float kLog2E = 1.4426950408889634f;

__device__ inline int thread_x() { return static_cast<int>(threadIdx.x % 16); }
__device__ inline int thread_y() { return static_cast<int>(threadIdx.x / 16); }

/// Loads `rows` rows of a head into a tile with rows of float_pitch(kHead). Row r is row row_of(r)
/// of the tensor, or zeros if that is negative.
template <int kHead, class RowOf>
__device__ void load_tile(float* tile, int rows, const AttentionProblem& p, const float* head,
                          int64_t row_stride, RowOf&& row_of) {
  constexpr int kVectors = kHead / 4;
  for (int i = static_cast<int>(threadIdx.x); i < rows * kVectors; i += kFloatThreads) {
    const int row = i / kVectors, d = i % kVectors * 4;
    const int from = row_of(row);
    const float* source = head + (from < 0 ? 0 : from) * row_stride;
    const auto at = [&](int e) { return from >= 0 && e < p.head_size ? source[e] : 0.0f; };
    float4 loaded;
    if (p.vectors && from >= 0 && d < p.head_size) {
      loaded = load_vector<float4>(source + d);
    } else {
      loaded = make_float4(at(d), at(d + 1), at(d + 2), at(d + 3));
    }
    store_vector(tile + row * float_pitch(kHead) + d, loaded);
  }
}

__device__ inline float dot(const float4& a, const float4& b, float sum) {
  sum = __fmaf_rn(a.x, b.x, sum);
  sum = __fmaf_rn(a.y, b.y, sum);
  sum = __fmaf_rn(a.z, b.z, sum);
  return __fmaf_rn(a.w, b.w, sum);
}

/// This thread's elements of (rows of a) · (rows of b)ᵀ.
template <int kHead, int kRows, int kColumns>
__device__ void multiply_transposed(float (&sums)[kRows][kColumns], const float* a,
                                    const float* b) {
  constexpr int kPitch = float_pitch(kHead);
  a += kRows * thread_y() * kPitch;
  b += thread_x() * kPitch;
#pragma unroll 2
  for (int d = 0; d < kHead; d += 4) {
    float4 left[kRows], right[kColumns];
#pragma unroll
    for (int r = 0; r < kRows; ++r) left[r] = load_vector<float4>(a + r * kPitch + d);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) right[c] = load_vector<float4>(b + 16 * c * kPitch + d);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sums[r][c] = dot(left[r], right[c], sums[r][c]);
    }
  }
}

/// The columns of a head that a thread owns: vectors of kWidth at kWidth·x, 16·kWidth apart.
template <int kHead>
struct HeadColumns {
  static constexpr int kCount = kHead / 16, kWidth = kCount < 4 ? kCount : 4;
  using Vector = std::conditional_t<kWidth == 4, float4, float2>;
  __device__ static int column(int number) {
    return number / kWidth * 16 * kWidth + kWidth * thread_x() + number % kWidth;
  }
};

/// sums += weights (rows, size) · rows of b, for this thread's rows and columns of the head.
template <int kHead, int kRows>
__device__ void multiply(float (&sums)[kRows][kHead / 16], const float* weights, int size,
                         const float* b) {
  using Columns = HeadColumns<kHead>;
  weights += kRows * thread_y() * float_pitch(size);
#pragma unroll 2
  for (int s = 0; s < size; ++s, b += float_pitch(kHead)) {
    float weight[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) weight[r] = weights[r * float_pitch(size) + s];
#pragma unroll
    for (int first = 0; first < Columns::kCount; first += Columns::kWidth) {
      const auto vector = load_vector<typename Columns::Vector>(b + Columns::column(first));
      const float parts[] = {vector.x, vector.y,
                             [&] {
                               if constexpr (Columns::kWidth == 4)
                                 return vector.z;
                               else
                                 return 0.0f;
                             }(),
                             [&] {
                               if constexpr (Columns::kWidth == 4)
                                 return vector.w;
                               else
                                 return 0.0f;
                             }()};
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int e = 0; e < Columns::kWidth; ++e) {
          sums[r][first + e] = __fmaf_rn(weight[r], parts[e], sums[r][first + e]);
        }
      }
    }
  }
}

/// Writes this thread's columns of one row of a head, times `factor`.
template <int kHead>
__device__ void store_row(float* row, int size, const float (&sums)[kHead / 16], float factor) {
#pragma unroll
  for (int i = 0; i < kHead / 16; ++i) {
    const int d = HeadColumns<kHead>::column(i);
    if (d < size) row[d] = sums[i] * factor;
  }
}

__device__ inline float row_max(float value) {
#pragma unroll
  for (int mask = 8; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, mask));
  }
  return value;
}
__device__ inline float row_sum(float value) {
#pragma unroll
  for (int mask = 8; mask > 0; mask /= 2) value += __shfl_xor_sync(kAllLanes, value, mask);
  return value;
}

/// Row of query (and its like) for target t of a window; -1 beyond the last.
__device__ inline int target_row(const AttentionProblem& p, const int32_t* targets, int t) {
  return t < p.targets ? query_row(p, __ldg(targets + t)) : -1;
}
/// Row of key (and its like) for source s of a window; -1 beyond the last.
__device__ inline int key_row(const AttentionProblem& p, const int32_t* sources, int s) {
  return s < p.sources ? source_row(p, s, __ldg(sources + s)) : -1;
}

/// kRelative: there may be a learned 2-D bias, whose look-up needs registers.
template <bool kRelative>
__device__ float logit(const AttentionProblem& p, const AttentionItem& item, float product,
                       float slope, int target, int source) {
  if (source > (p.causal ? target : INT_MAX - 1)) return -INFINITY;
  if (p.regions != nullptr && region_of(p, item, source) != region_of(p, item, target)) {
    return -INFINITY;
  }
  const float value = __fmaf_rn(product, p.scale, slope * static_cast<float>(source - target));
  if (!kRelative || p.relative.table == nullptr) return value;
  return value + relative_bias(p, item.head, GridCell(p, target), GridCell(p, source));
}

/// Bit kColumns·r + c: whether weight element_of(r, c) is kept.
template <int kRows, int kColumns, class ElementOf>
__device__ uint32_t draw_kept(const AttentionProblem& p, ElementOf&& element_of) {
  if (p.dropout.threshold == 0) return ~uint32_t{0};
  uint32_t bits = 0;
#pragma unroll 1  // one copy of the generator, not one for each weight
  for (int i = 0; i < kRows * kColumns; ++i) {
    const uint64_t element = element_of(i / kColumns, i % kColumns);
    bits |= static_cast<uint32_t>(keeps_weight(p.dropout, element)) << i;
  }
  return bits;
}

// ---- forward -----------------------------------------------------------------------------------

/// This thread's rows: the softmax so far, and the sums of outputs for its columns.
template <int kHead, int kRows>
struct OutputRows {
  int target[kRows];  // positions
  float highest[kRows], total[kRows] = {}, out[kRows][kHead / 16] = {};
  __device__ OutputRows(const AttentionProblem& p, const int32_t* targets, int first) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int t = first + kRows * thread_y() + r;
      target[r] = t < p.targets ? __ldg(targets + t) : 0;
      highest[r] = -INFINITY;
    }
  }
};

/// Turns the products of a tile into weights relative to the highest logit so far, writes them to
/// `weights`, those dropped as 0, and rescales the sums to match.
template <int kHead, bool kRelative, int kRows, int kColumns>
__device__ void update_softmax(const AttentionProblem& p, const AttentionItem& item, float slope,
                               const int (&source)[kColumns], uint32_t kept_bits,
                               float (&logits)[kRows][kColumns], OutputRows<kHead, kRows>& rows,
                               float* weights) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    float now = rows.highest[r];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      logits[r][c] = logit<kRelative>(p, item, logits[r][c], slope, rows.target[r], source[c]);
      now = fmaxf(now, logits[r][c]);
    }
    now = row_max(now);
    const float shift = now == -INFINITY ? 0.0f : now;
    const float rescale = exp2_approx((rows.highest[r] - shift) * kLog2E);
    rows.highest[r] = now;
    rows.total[r] *= rescale;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      float weight = exp2_approx((logits[r][c] - shift) * kLog2E);
      rows.total[r] += weight;
      if ((kept_bits >> (kColumns * r + c) & 1) == 0) weight = 0;
      weights[(kRows * thread_y() + r) * float_pitch(16 * kColumns) + 16 * c + thread_x()] = weight;
    }
#pragma unroll
    for (int i = 0; i < kHead / 16; ++i) rows.out[r][i] *= rescale;
  }
}

template <int kHead, int kRows>
__device__ void store_outputs(const AttentionProblem& p, const AttentionItem& item, int first,
                              const OutputRows<kHead, kRows>& rows) {
  auto* out_head = head_data<float>(p, p.out, item);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = row_sum(rows.total[r]);
    if (first + kRows * thread_y() + r >= p.targets) continue;
    const int row = query_row(p, rows.target[r]);
    store_row<kHead>(out_head + row * p.out.row_stride, p.head_size, rows.out[r],
                     sum == 0 ? 0.0f : p.dropout.kept_factor / sum);
    if (thread_x() == 0) {
      p.lse[statistics_row(p, item) + row] = sum == 0 ? -INFINITY : rows.highest[r] + logf(sum);
    }
  }
}

template <int kHead, bool kRelative>
__global__ void __launch_bounds__(kFloatThreads, kHead == 256 ? 2 : 1)
    attention_forward_kernel(const AttentionProblem p, const int row_blocks) {
  constexpr int kRows = float_forward_tile(kHead).rows_per_thread;
  constexpr int kColumns = float_forward_tile(kHead).columns_per_thread, kTile = 16 * kColumns;
  const AttentionItem item = attention_item(p, row_blocks);
  const int first = (row_blocks - 1 - item.row_block) * 16 * kRows;
  const int32_t* targets = p.target_positions + int64_t{item.window} * p.targets;
  const int32_t* sources = p.source_positions + int64_t{item.window} * p.sources;
  check_positions(p, item, first, 16 * kRows);

  auto* query = dynamic_shared<float>();
  float* others = query + 16 * kRows * float_pitch(kHead);  // keys, then values
  float* weights = others + kTile * float_pitch(kHead);
  const TileRange range = source_tiles(
      p, item, sources, block_positions(p, item, targets, first, 16 * kRows, p.targets), kTile);
  load_tile<kHead>(query, 16 * kRows, p, head_data<const float>(p, p.query, item),
                   p.query.row_stride,
                   [&](int row) { return target_row(p, targets, first + row); });
  OutputRows<kHead, kRows> rows(p, targets, first);
  const float slope = p.slopes == nullptr ? 0.0f : __ldg(p.slopes + item.head);

  for (int tile = range.begin; tile < range.end; ++tile) {
    const auto row_of = [&](int i) { return key_row(p, sources, tile * kTile + i); };
    __syncthreads();
    load_tile<kHead>(others, kTile, p, head_data<const float>(p, p.key, item), p.key.row_stride,
                     row_of);
    __syncthreads();
    float logits[kRows][kColumns] = {};
    multiply_transposed<kHead>(logits, query, others);
    int source[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int s = tile * kTile + 16 * c + thread_x();
      source[c] = s < p.sources ? __ldg(sources + s) : INT_MAX;
    }
    const uint32_t kept_bits = draw_kept<kRows, kColumns>(p, [&](int r, int c) {
      const int t = first + kRows * thread_y() + r, s = tile * kTile + 16 * c + thread_x();
      if (t >= p.targets || s >= p.sources) return uint64_t{0};
      return weight_element(p, item, __ldg(targets + t)) +
             static_cast<uint64_t>(__ldg(sources + s));
    });
    update_softmax<kHead, kRelative>(p, item, slope, source, kept_bits, logits, rows, weights);
    __syncthreads();
    load_tile<kHead>(others, kTile, p, head_data<const float>(p, p.value, item), p.value.row_stride,
                     row_of);
    __syncthreads();
    multiply<kHead>(rows.out, weights, kTile, others);
  }
  store_outputs(p, item, first, rows);
}

// ---- gradients ---------------------------------------------------------------------------------

/// A softmax weight after dropout, and the gradient of its biased logit.
struct PairGradient {
  float kept_weight, of_logit;
};

__device__ inline PairGradient pair_gradient(const AttentionProblem& p, const AttentionItem& item,
                                             float product, float value_product, float slope,
                                             int target, int source,
                                             const TargetStatistics& of_target, bool keeps) {
  const float kept = keeps ? p.dropout.kept_factor : 0.0f;
  const float biased = logit<true>(p, item, product, slope, target, source);
  const float weight = exp2_approx((biased - of_target.lse) * kLog2E);
  return {weight * kept, weight * (kept * value_product - of_target.delta)};
}

/// Loads rows `first` … of query and grad_out, or (kSources) of key and value, into two tiles.
template <int kHead, bool kSources>
__device__ void load_pair(float* to_first, float* to_second, int count, int first,
                          const AttentionProblem& p, const AttentionGradients& g,
                          const AttentionItem& item, const int32_t* positions) {
  const HeadRows& from = kSources ? p.key : p.query;
  const HeadRows& and_from = kSources ? p.value : g.grad_out;
  const auto row_of = [&](int i) {
    return kSources ? key_row(p, positions, first + i) : target_row(p, positions, first + i);
  };
  load_tile<kHead>(to_first, count, p, head_data<const float>(p, from, item), from.row_stride,
                   row_of);
  load_tile<kHead>(to_second, count, p, head_data<const float>(p, and_from, item),
                   and_from.row_stride, row_of);
}

/// A block's own rows, which are sources if kBySource, else targets; and the rows of the other
/// side.
template <bool kBySource>
struct Sides {
  const int32_t *own, *other;  // positions
  int own_size, other_size;
  __device__ Sides(const AttentionProblem& p, const AttentionItem& item) {
    const int32_t* targets = p.target_positions + int64_t{item.window} * p.targets;
    const int32_t* sources = p.source_positions + int64_t{item.window} * p.sources;
    own = kBySource ? sources : targets;
    other = kBySource ? targets : sources;
    own_size = kBySource ? p.sources : p.targets;
    other_size = kBySource ? p.targets : p.sources;
  }
};

/// Writes the gradients of a tile's logits to `gradients`, and, if kBySource, the kept weights to
/// `weights`. The thread's rows begin at `own_first`, its columns at `other_first`.
template <bool kBySource, int kRows, int kColumns>
__device__ void write_pairs(const AttentionProblem& p, const AttentionItem& item,
                            const Sides<kBySource>& sides, const TargetStatistics* statistics,
                            float slope, int own_first, int other_first,
                            const float (&products)[kRows][kColumns],
                            const float (&value_products)[kRows][kColumns], float* gradients,
                            float* weights) {
  const uint32_t kept_bits = draw_kept<kRows, kColumns>(p, [&](int r, int c) {
    const int own = own_first + r, other = other_first + 16 * c;
    if (own >= sides.own_size || other >= sides.other_size) return uint64_t{0};
    const int own_position = __ldg(sides.own + own), other_position = __ldg(sides.other + other);
    return weight_element(p, item, kBySource ? other_position : own_position) +
           static_cast<uint64_t>(kBySource ? own_position : other_position);
  });
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int own = own_first + r, other = other_first + 16 * c;
      const bool exists = own < sides.own_size && other < sides.other_size;
      const int own_position = exists ? __ldg(sides.own + own) : 0;
      const int other_position = exists ? __ldg(sides.other + other) : 0;
      const int target = kBySource ? other_position : own_position;
      const int source = kBySource ? own_position : other_position;
      const TargetStatistics of_target =
          exists ? statistics[query_row(p, target)] : TargetStatistics{INFINITY, 0.0f};
      const PairGradient pair =
          pair_gradient(p, item, products[r][c], value_products[r][c], slope, target, source,
                        of_target, (kept_bits >> (kColumns * r + c) & 1) != 0);
      const int at = (kRows * thread_y() + r) * float_pitch(16 * kColumns) + 16 * c + thread_x();
      gradients[at] = pair.of_logit;
      if constexpr (kBySource) weights[at] = pair.kept_weight;
    }
  }
}

/// Writes the sums for this thread's row number `own`: the gradient of a query, or of a key and a
/// value, by window if there are buffers for that.
template <int kHead, bool kBySource>
__device__ void store_gradients(const AttentionProblem& p, const AttentionGradients& g,
                                const AttentionItem& item, const int32_t* positions, int own,
                                const float (&first_sums)[kHead / 16],
                                const float (&second_sums)[kHead / 16]) {
  if constexpr (!kBySource) {
    const int row = target_row(p, positions, own);
    store_row<kHead>(head_data<float>(p, g.grad_query, item) + row * g.grad_query.row_stride,
                     p.head_size, first_sums, p.scale);
  } else if (g.partial_key != nullptr) {
    const int64_t window = item.batch * int64_t{p.windows} + item.window;
    const int64_t at = ((window * p.sources + own) * p.heads + item.head) * g.partial_stride;
    store_row<kHead>(g.partial_key + at, p.head_size, first_sums, p.scale);
    store_row<kHead>(g.partial_value + at, p.head_size, second_sums, 1.0f);
  } else {
    const int64_t row = key_row(p, positions, own);
    store_row<kHead>(head_data<float>(p, g.grad_key, item) + row * g.grad_key.row_stride,
                     p.head_size, first_sums, p.scale);
    store_row<kHead>(head_data<float>(p, g.grad_value, item) + row * g.grad_value.row_stride,
                     p.head_size, second_sums, 1.0f);
  }
}

/// kBySource: the block has keys and values of sources; else queries of targets.
template <int kHead, bool kBySource>
__global__ void __launch_bounds__(kFloatThreads, 2)
    attention_gradient_kernel(const AttentionProblem p, const AttentionGradients g,
                              const int row_blocks) {
  constexpr int kRows = float_gradient_tile(kHead).rows_per_thread;
  constexpr int kColumns = float_gradient_tile(kHead).columns_per_thread, kTile = 16 * kColumns;
  const AttentionItem item = attention_item(p, row_blocks);
  const int first = item.row_block * 16 * kRows;
  const Sides<kBySource> sides(p, item);
  const TargetStatistics* statistics = g.statistics + statistics_row(p, item);

  auto* own_first = dynamic_shared<float>();                        // queries or keys
  float* own_second = own_first + 16 * kRows * float_pitch(kHead);  // grad_out or values
  float* other_first = own_second + 16 * kRows * float_pitch(kHead);
  float* other_second = other_first + kTile * float_pitch(kHead);
  float* gradients = other_second + kTile * float_pitch(kHead);  // of the logits
  float* weights = gradients + 16 * kRows * float_pitch(kTile);  // kept, for grad_value

  const PositionRange here = block_positions(p, item, sides.own, first, 16 * kRows, sides.own_size);
  const TileRange range = kBySource ? target_tiles(p, item, sides.other, here, kTile)
                                    : source_tiles(p, item, sides.other, here, kTile);
  load_pair<kHead, kBySource>(own_first, own_second, 16 * kRows, first, p, g, item, sides.own);
  const float slope = p.slopes == nullptr ? 0.0f : __ldg(p.slopes + item.head);
  float first_sums[kRows][kHead / 16] = {}, second_sums[kRows][kHead / 16] = {};

  for (int tile = range.begin; tile < range.end; ++tile) {
    __syncthreads();
    load_pair<kHead, !kBySource>(other_first, other_second, kTile, tile * kTile, p, g, item,
                                 sides.other);
    __syncthreads();
    float products[kRows][kColumns] = {}, value_products[kRows][kColumns] = {};
    multiply_transposed<kHead>(products, own_first, other_first);
    multiply_transposed<kHead>(value_products, own_second, other_second);
    write_pairs(p, item, sides, statistics, slope, first + kRows * thread_y(),
                tile * kTile + thread_x(), products, value_products, gradients, weights);
    __syncwarp();  // half a warp owns a row of these
    multiply<kHead>(first_sums, gradients, kTile, other_first);
    if constexpr (kBySource) multiply<kHead>(second_sums, weights, kTile, other_second);
  }

#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int own = first + kRows * thread_y() + r;
    if (own >= sides.own_size) continue;
    store_gradients<kHead, kBySource>(p, g, item, sides.own, own, first_sums[r], second_sums[r]);
  }
}

/// The f32 version of attention_logit_gradients.cu.
template <int kHead>
__global__ void __launch_bounds__(kFloatThreads, 2)
    logit_gradients_kernel(const AttentionProblem p, const AttentionGradients g,
                           const LogitGradients logits, const int row_blocks,
                           const int column_blocks) {
  constexpr int kRows = float_gradient_tile(kHead).rows_per_thread;
  constexpr int kColumns = float_gradient_tile(kHead).columns_per_thread, kTile = 16 * kColumns;
  const LogitTile tile(p, logits, row_blocks, column_blocks);
  const int first = tile.item.row_block * 16 * kRows, first_source = tile.column_block * kTile;
  const int32_t* targets = p.target_positions + int64_t{tile.item.window} * p.targets;
  const int32_t* sources = p.source_positions + int64_t{tile.item.window} * p.sources;
  auto* query = dynamic_shared<float>();
  float* grad_out = query + 16 * kRows * float_pitch(kHead);
  float* key = grad_out + 16 * kRows * float_pitch(kHead);
  float* value = key + kTile * float_pitch(kHead);
  const float slope = p.slopes == nullptr ? 0.0f : __ldg(p.slopes + tile.item.head);
  const auto target_of = [&](int r) { return first + kRows * thread_y() + r; };
  const auto source_of = [&](int c) { return first_source + 16 * c + thread_x(); };

  float sums[kRows][kColumns] = {};
  AttentionItem item = tile.item;
  for (item.batch = 0; item.batch < p.batch; ++item.batch) {
    __syncthreads();
    load_pair<kHead, false>(query, grad_out, 16 * kRows, first, p, g, item, targets);
    load_pair<kHead, true>(key, value, kTile, first_source, p, g, item, sources);
    __syncthreads();
    float products[kRows][kColumns] = {}, value_products[kRows][kColumns] = {};
    multiply_transposed<kHead>(products, query, key);
    multiply_transposed<kHead>(value_products, grad_out, value);
    const uint32_t kept_bits = draw_kept<kRows, kColumns>(p, [&](int r, int c) {
      if (target_of(r) >= p.targets || source_of(c) >= p.sources) return uint64_t{0};
      return weight_element(p, item, __ldg(targets + target_of(r))) +
             static_cast<uint64_t>(__ldg(sources + source_of(c)));
    });
    const TargetStatistics* statistics = g.statistics + statistics_row(p, item);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (target_of(r) >= p.targets || source_of(c) >= p.sources) continue;
        const int target = __ldg(targets + target_of(r)), source = __ldg(sources + source_of(c));
        const TargetStatistics of_target = statistics[query_row(p, target)];
        sums[r][c] += pair_gradient(p, item, products[r][c], value_products[r][c], slope, target,
                                    source, of_target, (kept_bits >> (kColumns * r + c) & 1) != 0)
                          .of_logit;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (target_of(r) >= p.targets || source_of(c) >= p.sources) continue;
      tile.sums[int64_t{target_of(r)} * p.sources + source_of(c)] = sums[r][c];
    }
  }
}

template <class F>
void visit_head(int head_size, F&& f) {
  switch (padded_head_size_f32(head_size)) {
    case 32:
      return f(std::integral_constant<int, 32>{});
    case 64:
      return f(std::integral_constant<int, 64>{});
    case 128:
      return f(std::integral_constant<int, 128>{});
    default:
      return f(std::integral_constant<int, 256>{});
  }
}

}  // namespace

void attention_forward_f32(const AttentionProblem& p, const AttentionDevice&) {
  visit_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    const AttentionLaunch shape = float_forward_launch(kHead, p.targets);
    const auto kernel = p.relative.table == nullptr ? attention_forward_kernel<kHead, false>
                                                    : attention_forward_kernel<kHead, true>;
    launch("attention", kernel, attention_grid(p, shape),
           dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, shape.row_blocks);
  });
}

void attention_backward_f32(const AttentionProblem& p, const AttentionGradients& g,
                            const AttentionDevice&) {
  visit_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    const auto run = [&](auto kernel, int rows) {
      const AttentionLaunch shape = float_gradient_launch(kHead, rows);
      launch("attention_backward", kernel, attention_grid(p, shape),
             dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, g,
             shape.row_blocks);
    };
    run(attention_gradient_kernel<kHead, false>, p.targets);
    run(attention_gradient_kernel<kHead, true>, p.sources);
  });
}

void attention_logit_gradients_f32(const AttentionProblem& p, const AttentionGradients& g,
                                   const LogitGradients& logits, const AttentionDevice&) {
  visit_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    const AttentionLaunch shape = float_gradient_launch(kHead, p.targets);
    const int columns = 16 * float_gradient_tile(kHead).columns_per_thread;
    const int column_blocks = (p.sources + columns - 1) / columns;
    launch("attention_backward", logit_gradients_kernel<kHead>,
           logit_grid(p, logits, shape.row_blocks, column_blocks),
           dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, g, logits,
           shape.row_blocks, column_blocks);
  });
}

}  // namespace ssa::cuda
