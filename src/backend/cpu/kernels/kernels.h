#pragma once

#include <cstdint>

// The boundary between code compiled for any machine and kernels compiled once for each
// instruction set: plain structs and pointers to functions on raw f32 rows. Everything here must
// stay free of inline functions, so that the linker never merges code of two instruction sets.

namespace ssa::cpu {

enum class ActivationKind { gelu, relu, elu };

/// A stream of Philox words (RngKey::words) with its constants written out.
struct DropoutStream {
  uint32_t counter[3];  ///< words 1 … 3 of the counter; word 0 is the block
  uint32_t key[2];
  uint32_t threshold;  ///< elements whose word is below this are dropped
  float keep_scale;    ///< 1/(1-p)
};

/// Rows of a (B, N, H, D) tensor; a row of D floats is contiguous. Strides in elements.
struct HeadRows {
  float* data;
  int64_t batch_stride, row_stride, head_stride;
};

/// AttentionArgs in raw form. Nothing is written through query, key and value.
struct AttentionProblem {
  HeadRows query, key, value, out;
  float* lse;  ///< (B, H, N)
  int64_t length, heads, head_size;
  int64_t targets_per_window, sources_per_window;
  const int32_t* targets;  ///< (W, T)
  const int32_t* sources;  ///< (W, S)
  float scale;
  bool causal;
  const float* alibi_slopes;     ///< (H) or null
  const DropoutStream* dropout;  ///< or null
};

struct AttentionGradients {
  HeadRows grad_out, grad_query, grad_key, grad_value;
};

/// Which targets of which window, of which sequence and head.
struct AttentionSlice {
  int64_t batch, head, window;
  int64_t first_target, targets;
};

/// Adam with every constant of the step folded in.
struct AdamConstants {
  float gradient_scale, coupled_decay;
  float decoupled_decay;  ///< learning_rate·weight_decay if decoupled, else 0
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;                ///< learning_rate / (1 - beta1^step)
  float inverse_root_correction;  ///< 1 / sqrt(1 - beta2^step)
  float eps;
};

struct SgdConstants {
  float gradient_scale, weight_decay, momentum, learning_rate;
  bool nesterov, first_step;
};

/// Targets handled by one call of attention_forward.
inline constexpr int64_t kTargetChunk = 256;

/// One implementation of every kernel. Functions named after a row work on rows that follow each
/// other in memory.
struct Kernels {
  const char* isa;

  void (*add)(const float* a, const float* b, float* out, int64_t count);
  void (*scale)(const float* in, float factor, float* out, int64_t count);
  /// out += factor · in
  void (*add_scaled)(const float* in, float factor, float* out, int64_t count);
  void (*activation)(ActivationKind kind, const float* in, float* out, int64_t count);
  void (*activation_backward)(ActivationKind kind, const float* in, const float* grad_out,
                              float* grad_in, int64_t count);
  /// Elements first … first+count-1 of a tensor, first a multiple of 4; in and out point at them.
  void (*dropout)(const DropoutStream& stream, int64_t first, const float* in, float* out,
                  int64_t count);

  /// out[c] += Σ_r in[r][c]
  void (*add_rows)(const float* in, int64_t rows, int64_t columns, float* out);
  double (*sum)(const float* in, int64_t count);
  double (*sum_squares)(const float* in, int64_t count);

  void (*layer_norm)(const float* in, const float* gain, const float* shift, float eps,
                     int64_t rows, int64_t columns, float* out, float* mean, float* rstd);
  /// grad_gain and grad_shift are added to.
  void (*layer_norm_backward)(const float* in, const float* gain, const float* mean,
                              const float* rstd, const float* grad_out, int64_t rows,
                              int64_t columns, float* grad_in, float* grad_gain, float* grad_shift);

  /// log Σ exp of one row.
  float (*log_sum_exp)(const float* logits, int64_t columns);
  /// out = factor · exp(logits - lse)
  void (*scaled_softmax)(const float* logits, float lse, float factor, float* out, int64_t columns);

  void (*adam)(const AdamConstants& constants, const float* gradient, float* parameter,
               float* first_moment, float* second_moment, int64_t count);
  /// momentum may be null if constants.momentum is 0.
  void (*sgd)(const SgdConstants& constants, const float* gradient, float* parameter,
              float* momentum, int64_t count);

  /// Floats of 64-byte aligned scratch that one call needs.
  int64_t (*attention_forward_scratch)(const AttentionProblem& problem);
  /// Writes out and lse of at most kTargetChunk targets.
  void (*attention_forward)(const AttentionProblem& problem, const AttentionSlice& slice,
                            float* scratch);
  int64_t (*attention_backward_scratch)(const AttentionProblem& problem);
  /// Writes the query gradients of all of a window's targets and adds to the gradients of its
  /// keys and values. slice.first_target and slice.targets are not looked at.
  void (*attention_backward)(const AttentionProblem& problem, const AttentionGradients& gradients,
                             const AttentionSlice& slice, float* scratch);
};

/// The fastest kernels that this machine can run; the environment variable SSA_CPU_ISA (baseline,
/// avx2 or avx512) asks for a lower instruction set. Throws ConfigError if the variable names
/// anything else, or what this build or machine does not have.
const Kernels& kernels_asked_for();
/// The kernels in use: kernels_asked_for() as of the first call.
const Kernels& kernels();
/// The kernels called `isa`, or null if this build or machine does not have them.
const Kernels* find_kernels(const char* isa);
/// Testing: makes kernels() return the kernels called `isa` from now on; false if there are none.
bool select_kernels(const char* isa);

}  // namespace ssa::cpu
