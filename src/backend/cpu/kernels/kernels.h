#pragma once

#include <cstdint>

#include "backend/optimizer_constants.h"

// The boundary between code for any machine and kernels compiled once per instruction set: plain
// structs, and pointers to functions on raw rows. There must be no inline functions here, so that
// the linker never merges code of two instruction sets.

namespace ssa {
struct BFloat16;
}

namespace ssa::cpu {

enum class ActivationKind { gelu, gelu_tanh, relu, elu };

/// A stream of Philox words (RngKey::words) with its constants written out.
struct DropoutStream {
  uint32_t counter[3];  ///< words 1 … 3 of the counter; word 0 is the block
  uint32_t key[2];
  uint32_t threshold;  ///< elements whose word is below this are dropped
  float keep_scale;    ///< 1/(1-p)
};

/// Rows of a (B, N, H, D) tensor of f32 or bf16; the D elements of a head are contiguous. Strides
/// in elements.
struct HeadRows {
  void* data;
  int64_t batch_stride, row_stride, head_stride;
};

/// A learned 2-D bias as kernels read it. The bias of pair (i, j) is element center + code[i] -
/// code[j] of its head's table. The table covers all pairs of cells of the grid, and has -inf for
/// masked pairs.
struct RelativeTables {
  const float* tables;  ///< (H, size), or null
  const int32_t* code;  ///< of every position; never less than of the one before
  int32_t size, center;
  int32_t reach;  ///< pairs whose codes differ by more are masked
  /// (shapes, H, S, tile_stride), or null: the biases of whole windows. Windows of the same shape
  /// share a tile, so that kernels load biases instead of gathering them.
  const float* tiles;
  const int32_t* window_shape;  ///< (W)
  int64_t tile_stride;          ///< T, rounded up to a multiple of kBiasTileTargets
};
/// Kernels pad the targets of a window to at most a multiple of this.
inline constexpr int64_t kBiasTileTargets = 32;

/// AttentionArgs as plain pointers. Kernels only read query, key and value.
struct AttentionProblem {
  HeadRows query, key, value, out;
  float* lse;  ///< (B, H, N)
  int64_t length, heads, head_size;
  int64_t targets_per_window, sources_per_window;
  const int32_t* targets;      ///< (W, T)
  const int32_t* sources;      ///< (W, S)
  const int32_t* source_rows;  ///< (W, S): the rows of key and value that hold the sources
  float scale;
  bool causal;
  const float* alibi_slopes;  ///< (H) or null
  RelativeTables relative;
  const int32_t* regions;        ///< (N) of the first sequence, or null
  int64_t region_stride;         ///< to the regions of the next sequence
  const DropoutStream* dropout;  ///< or null
};

/// The targets that one call computes: some or all of one window, of one head and sequence.
struct AttentionSlice {
  int64_t batch, head, window;
  int64_t first_target, targets;
};

/// f32 rows of one head of one sequence.
struct SumRows {
  float* data;
  int64_t row_stride;
};

/// The sources of a window that one call of AttentionKernels::backward goes over.
struct SourceRange {
  int64_t first, count;
};

struct AttentionGradients {
  HeadRows grad_out, grad_query;
  SumRows grad_key, grad_value;  ///< added to
  const int32_t* rows;           ///< (S): the rows of grad_key and grad_value for this window
  /// The gradient of the head's learned 2-D bias, added to: in one of two forms, or not at all.
  float* relative_band;    ///< (2·reach + 1) by code[i] - code[j] + reach, or null
  float* relative_tile;    ///< (S, tile_stride) by the numbers of source and target, or null
  bool of_queries = true;  ///< write those of queries: goes with all sources
  bool of_sources = true;  ///< add those of keys and values: goes with all targets
};

/// Slices of targets start at multiples of this.
inline constexpr int64_t kTargetTile = 64;
/// In a backward pass, slices of targets and ranges of sources start at multiples of this.
inline constexpr int64_t kBackwardTile = 128;
/// The most targets that one call of AttentionKernels::forward may have.
inline constexpr int64_t kMostTargets = 1024;

/// out (rows, columns) = a (rows, inner) · weightsᵀ, in f32: one row of int8 weights and one scale
/// for each column. Rows are padded with zeros to `inner`, a multiple of kInt8Padding.
struct Int8Product {
  const float* a;  ///< 64-byte aligned
  const int8_t* weights;
  const float* scales;
  float* out;
  int64_t rows, inner, out_stride;
};
inline constexpr int64_t kInt8Padding = 64;

/// Attention on data of one dtype. Scratch is 64-byte aligned; the functions say how many floats.
struct AttentionKernels {
  /// Floats of scratch for calls with at most this many targets.
  int64_t (*forward_scratch)(const AttentionProblem& problem, int64_t targets);
  /// Writes out and lse of the slice's targets. A target's result does not depend on how a window
  /// is cut into slices that start at multiples of kTargetTile.
  void (*forward)(const AttentionProblem& problem, const AttentionSlice& slice, float* scratch);
  int64_t (*backward_scratch)(const AttentionProblem& problem);
  /// Writes the query gradients of the slice's targets, and adds to the gradients of the keys and
  /// values of `sources`. Each sum has the same order however a window is cut.
  void (*backward)(const AttentionProblem& problem, const AttentionGradients& gradients,
                   const AttentionSlice& slice, const SourceRange& sources, float* scratch);
  /// Rounds a sum to the dtype of the data.
  void (*write_row)(const float* sum, void* out, int64_t count);
};

/// GraphAttentionArgs in raw form. Batch strides of rows are not looked at.
struct GraphAttentionProblem {
  HeadRows query, key, value, out;
  float *lse, *gate_sum;  ///< (R, H)
  const int32_t *nodes, *sampled, *sources, *pairs;
  const uint8_t* classes;
  const float *bias, *gate;  ///< (C, table_stride); gates after the sigmoid, or null
  int64_t table_stride;      ///< the heads, rounded up to a multiple of kGraphHeads
  int64_t heads, head_size, virtual_nodes;
  int64_t most_nodes, most_sources;  ///< of a graph
  float scale, logit_clip;           ///< infinity: no clipping
  const DropoutStream* dropout;      ///< or null
};

/// A graph and some of its heads, kGraphHeads at most.
struct GraphSlice {
  int64_t graph, first_head, heads;
};
inline constexpr int64_t kGraphHeads = 16;

struct GraphAttentionGradients {
  HeadRows grad_out, grad_query, grad_key, grad_value;
  float *bias_sums, *gate_sums;  ///< (C, kGraphHeads) of the slice's heads, added to
};

/// Attention inside graphs on data of one dtype; scratch as above. A graph's results depend neither
/// on other graphs nor on how heads are cut into slices.
struct GraphAttentionKernels {
  int64_t (*forward_scratch)(const GraphAttentionProblem& problem);
  void (*forward)(const GraphAttentionProblem& problem, const GraphSlice& slice, float* scratch);
  int64_t (*backward_scratch)(const GraphAttentionProblem& problem);
  void (*backward)(const GraphAttentionProblem& problem, const GraphAttentionGradients& gradients,
                   const GraphSlice& slice, float* scratch);
};

/// out (rows, columns) [+]= leftᵀ · right, of left (inner, rows) and right (inner, columns). All
/// extents are multiples of 32, strides in elements.
struct TransposedProduct {
  const BFloat16* left;
  const BFloat16* right;
  float* out;
  int64_t left_stride, right_stride, out_stride;
  int64_t rows, columns, inner;
  bool accumulate;
};

/// LayerNormBackwardArgs in raw form; the pointers point at the first row.
template <class T>
struct LayerNormRows {
  const T* in;
  const float *gain, *shift, *mean, *rstd;
  const T* grad_out;
  T* grad_in;
  bool accumulate;
  float *grad_gain, *grad_shift;  ///< added to
  T* out;                         ///< or null; may be grad_out
};

/// One row of SoftTargets: p is `base` for every class; labels add to it.
struct SoftTargetRow {
  const int32_t* label;
  const float* weight;  ///< of each label
  int64_t labels;
  float base;      ///< smoothing/V
  float labelled;  ///< 1 - smoothing, which multiplies the weights
};

/// One row of MaskedSoftmaxArgs: a target and the sources of its window.
struct MaskedRow {
  int32_t target;
  const int32_t* sources;
  float scale, slope;
  bool causal;
};
/// No vector has more elements of f32 than this.
inline constexpr int64_t kMostLanes = 16;

/// Kernels on data of one dtype, float or BFloat16. Functions named after a row work on rows that
/// follow each other in memory.
template <class T>
struct ElementKernels {
  void (*add)(const T* a, const T* b, T* out, int64_t count);
  void (*scale)(const T* in, float factor, T* out, int64_t count);
  /// out = factor · in, rounded to T.
  void (*scale_from_f32)(const float* in, float factor, T* out, int64_t count);
  void (*to_f32)(const T* in, float* out, int64_t count);
  /// out += factor · in
  void (*add_scaled)(const T* in, float factor, float* out, int64_t count);
  void (*activation)(ActivationKind kind, const T* in, T* out, int64_t count);
  /// out, if not null, receives the activation again; may be in.
  void (*activation_backward)(ActivationKind kind, const T* in, const T* grad_out, T* grad_in,
                              T* out, int64_t count);
  /// Elements first … first+count-1 of a tensor, first a multiple of 4; the pointers point at them.
  /// residual may be null.
  void (*dropout)(const DropoutStream& stream, int64_t first, const T* in, const T* residual,
                  T* out, int64_t count);

  /// out = factor · in [+ residual]; just the residual (or 0) if factor is 0. residual may be null.
  void (*scale_or_drop)(const T* in, float factor, const T* residual, T* out, int64_t count);

  /// out[c] += Σ_r in[r][c], rows `stride` elements apart.
  void (*add_rows)(const T* in, int64_t stride, int64_t rows, int64_t columns, float* out);
  double (*sum)(const T* in, int64_t count);
  double (*sum_squares)(const T* in, int64_t count);

  void (*layer_norm)(const T* in, const float* gain, const float* shift, float eps, int64_t rows,
                     int64_t columns, T* out, float* mean, float* rstd);
  void (*layer_norm_backward)(const LayerNormRows<T>& arrays, int64_t rows, int64_t columns);

  /// log Σ exp of one row.
  float (*log_sum_exp)(const T* logits, int64_t columns);
  /// One row: out = grad · (exp(logits - lse) - onehot(target)); out may be logits.
  void (*softmax_gradient)(const T* logits, int64_t target, float lse, float grad, T* out,
                           int64_t columns);
  /// One row: out = grad · (exp(logits - lse) - p); out may be logits. Scratch for
  /// targets.labels floats.
  void (*soft_target_gradient)(const T* logits, const SoftTargetRow& targets, float lse, float grad,
                               T* out, int64_t columns, float* scratch);
  /// One row; out may be logits. Scratch for columns + kMostLanes floats.
  void (*masked_softmax)(const MaskedRow& row, const T* logits, T* out, int64_t columns,
                         float* scratch);
  /// One row; out may be grad.
  void (*masked_softmax_backward)(const T* weights, float scale, const T* grad, T* out,
                                  int64_t columns);
};

/// One implementation of every kernel.
struct Kernels {
  const char* isa;

  ElementKernels<float> f32;
  ElementKernels<BFloat16> bf16;

  /// out = |a - b|
  void (*absolute_error)(const float* a, const float* b, float* out, int64_t count);
  /// out = grad · sign(a - b)
  void (*absolute_error_backward)(const float* a, const float* b, const float* grad, float* out,
                                  int64_t count);

  /// Null where oneDNN is faster. For blocks of a few hundred rows and columns. scratch is 64-byte
  /// aligned; transposed_product_scratch() gives its bytes.
  void (*transposed_product)(const TransposedProduct& block, void* scratch);
  int64_t (*transposed_product_scratch)(const TransposedProduct& block);
  /// Columns first … first+count-1. An element's sum has the same order wherever it is computed.
  void (*int8_product)(const Int8Product& product, int64_t first, int64_t count);

  void (*adam)(const AdamConstants& constants, const float* gradient, float* parameter,
               float* first_moment, float* second_moment, int64_t count);
  /// momentum may be null where there is no momentum.
  void (*sgd)(const SgdConstants& constants, const float* gradient, float* parameter,
              float* momentum, int64_t count);

  AttentionKernels attention_f32, attention_bf16;
  GraphAttentionKernels graph_attention_f32, graph_attention_bf16;
};

/// The fastest kernels that this machine can run, or those of the lower instruction set in the
/// environment variable SSA_CPU_ISA (baseline, avx2, avx512 or amx). Throws ConfigError if the
/// variable names anything else, or a set that this build or machine does not have.
const Kernels& kernels_asked_for();
/// The kernels in use: kernels_asked_for() as of the first call.
const Kernels& kernels();
/// The kernels called `isa`, or null if this build or machine does not have them.
const Kernels* find_kernels(const char* isa);
/// Testing: makes kernels() return the kernels called `isa` from now on; false if there are none.
bool select_kernels(const char* isa);

}  // namespace ssa::cpu
