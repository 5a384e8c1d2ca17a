#pragma once

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/relative_bias.h"
#include "backend/cpu/workspace.h"

namespace ssa::cpu {

/// Sums the gradient of a learned 2-D bias over the windows of each head, then over sequences. The
/// order of additions does not depend on the number of threads.
///
/// If windows share shapes, the gradients of one shape's windows are summed in a tile, and each
/// tile is added to the band of its head once. Otherwise each window has a band of its own, which
/// is added to that of its head.
class BiasGradient {
 public:
  /// `heads` of all sequences. Sums nothing unless `wanted`.
  BiasGradient(const RelativeBias& bias, int64_t heads, bool wanted);

  /// Floats that a window's gradient takes, of whichever kind. 0 where none is wanted.
  int64_t window_size() const { return window_size_; }
  /// Makes the kernel add a window's gradient at `sums`, which has window_size() floats.
  void add_at(float* sums, AttentionGradients& gradients) const;

  /// One thread sums the windows of a head: begin_head, add_window for each in order, end_head.
  void begin_head(int64_t head) const;
  /// Where the kernel may add the gradient of the window. The calling thread owns it until it calls
  /// add_window.
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
