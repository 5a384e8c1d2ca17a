#pragma once

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/relative_bias.h"
#include "backend/cpu/workspace.h"

namespace ssa::cpu {

/// Sums the gradient of a learned 2-D bias over the windows of each head. The order of additions
/// does not depend on the number of threads: a window's pairs and the windows of a head in their
/// order, then the sequences.
///
/// Where windows share shapes, the sum over windows of one shape is a tile, and tiles are added to
/// the band of the head in the end. Elsewhere each window has a band of its own, which is added to
/// the head's.
class BiasGradient {
 public:
  /// `heads` of all sequences. Sums nothing unless `wanted`.
  BiasGradient(const RelativeBias& bias, int64_t heads, bool wanted);

  /// Floats that a window's gradient takes, of whichever kind. 0 where none is wanted.
  int64_t window_size() const { return window_size_; }
  /// Makes the kernel add a window's gradient at `sums`, which has window_size() floats.
  void add_at(float* sums, AttentionGradients& gradients) const;

  /// A head's windows are summed by one thread: begin_head, each window in order, end_head.
  void begin_head(int64_t head) const;
  /// Where the kernel may add the gradient of a window; the thread's until it calls add_window.
  float* begin_window(int64_t window) const;
  void add_window(int64_t head, int64_t window, const float* sums) const;
  void end_head(int64_t head) const;

  /// grad_table += the sums of all heads.
  void add_to(Tensor& grad_table, int64_t batch) const;

 private:
  float* thread_tile(int64_t shape) const { return tiles_.of_thread() + shape * window_size_; }

  const RelativeBias& bias_;
  int64_t shapes_;       // that have a tile; 0: bands
  int64_t window_size_;  // of a tile, or of a band
  Workspace head_bands_;
  Workspace window_bands_;  // of every thread
  Workspace tiles_;         // of every thread, one per shape
};

}  // namespace ssa::cpu
