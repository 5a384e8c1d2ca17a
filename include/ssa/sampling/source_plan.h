#pragma once

#include <cstdint>
#include <vector>

#include "ssa/core/philox.h"

namespace ssa {

/// Which sources each target may attend to: the one abstraction behind every attention pattern
/// (dense, windowed, stochastically subsampled). Positions are always original positions.
///
/// Invariants: every position is a target exactly once; within a window no source occurs twice.
/// Attention does not depend on the order of a window's sources, so they ascend: memory is read in
/// order, and tiles that are wholly masked by causality can be skipped. Targets ascend too, except
/// in windows that a cyclic shift wraps around the image's edge: there they keep the window's
/// raster order.
struct SourcePlan {
  int64_t positions = 0;           ///< N
  int64_t windows = 0;             ///< W
  int64_t targets_per_window = 0;  ///< T
  int64_t sources_per_window = 0;  ///< S
  std::vector<int32_t> targets;    ///< (W, T)
  std::vector<int32_t> sources;    ///< (W, S), each row ascending

  /// Part of the full N×N attention matrix that is computed: W·T·S / N². 0 for an empty plan.
  double sampled_fraction() const;
  bool operator==(const SourcePlan&) const = default;
};

enum class PlanKind {
  dense,         ///< W = 1, T = S = N, identity
  unbiased,      ///< W = 1, T = N, S = round((1 - drop)·N) of a uniform permutation
  local_1d,      ///< windows of a Gaussian-noised order, optionally causal
  local_2d,      ///< blocks of a grid shuffled horizontally, then vertically; causal: bands of rows
  swin_windows,  ///< sub-windows inside each (shifted) window of an image
  unbiased_swin_windows,  ///< in each (shifted) window of T cells round((1 - drop)·T) of them
};

/// Everything but randomness that determines a plan. Fields that a kind does not use are ignored.
struct PlanSpec {
  PlanKind kind = PlanKind::dense;
  int64_t positions = 0;  ///< N (rows·columns for grids)
  bool causal = false;    ///< local_1d, local_2d
  double drop = 0.0;      ///< unbiased kinds: part of the sources dropped, 0 ≤ drop < 1
  int64_t windows = 1;    ///< local_1d; local_2d causal: number of bands
  /// local kinds: standard deviation as a fraction of the input length, in 2-D of the number of
  /// rows of the grid, in swin_windows of the rows of a window. Finite, ≥ 0.
  double sigma = 0.0;
  double sigma_columns = 0.0;  ///< local_2d, swin_windows: the same for the columns

  // Grids.
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t block_rows = 0;  ///< local_2d not causal, swin_windows (sub-window): block height
  int64_t block_columns = 0;
  int64_t window_rows = 0;  ///< both kinds of Swin windows: window height (14)
  int64_t window_columns = 0;
  /// both kinds of Swin windows: cyclic shift of the window grid, 0 ≤ shift < window. Cell (r, c)
  /// of the shifted grid holds original position ((r + shift_rows) mod rows, (c + shift_columns)
  /// mod columns), as after torch.roll(x, (-shift_rows, -shift_columns)). A window that wraps
  /// around the edge holds regions that are no neighbours: the attention mask keeps them apart, the
  /// plan does not.
  int64_t shift_rows = 0;
  int64_t shift_columns = 0;
};

/// The size of a plan, which follows from its spec.
struct PlanShape {
  int64_t windows = 0;             ///< W
  int64_t targets_per_window = 0;  ///< T
  int64_t sources_per_window = 0;  ///< S
  bool operator==(const PlanShape&) const = default;
};
/// The shape of draw_plan(spec). The spec must be valid.
PlanShape plan_shape(const PlanSpec& spec);

/// Whether the plan's windows are those of a Swin transformer, of either kind.
bool has_swin_windows(const PlanSpec& spec);

/// Whether sources are drawn at random. Not for dense attention, over all positions or over whole
/// Swin windows.
bool samples_sources(const PlanSpec& spec);

/// The part of the N×N matrix that plans of this spec sample.
double sampled_fraction(const PlanSpec& spec);

/// Throws ConfigError with the nearest valid values if the spec cannot be drawn (N not divisible
/// by W, drop or sigma out of range, blocks that do not tile the grid, ...).
void validate(const PlanSpec& spec);

/// Draws one plan (Hussain et al., arXiv 2306.01705, section 3). A pure function of its arguments:
/// `key.stream` is replaced by the number of the window that is shuffled, everything else of the
/// key (seed, purpose, step, rank, layer) tells draws apart. Throws ConfigError like validate().
///
/// Which words a plan reads, so that another implementation can draw the same bits; eps is
/// normal_from_word(word):
/// - unbiased: stream 0; position j has word j; the k positions of the smallest words are sources
///   (ties: the lower position).
/// - local_1d: position j has eps of word j and the order is that of j + (sigma·N)·eps in f64
///   (ties: the lower position). Stream 0; causal: window v shuffles [0, (v+1)·T) with stream v.
/// - local_2d: a shuffled region of n cells, cell i in raster order, reads word i for the
///   horizontal pass and word n + i for the vertical pass, where i is the cell of the element
///   before that pass. Stream 0; causal: band v shuffles rows [0, (v+1)·rows/W) with stream v.
/// - swin_windows: the same inside each window (sigma times the window's side); stream = the
///   window's number in raster order of the shifted grid. The plan's windows are the sub-windows,
///   window by window, raster order inside each.
/// - unbiased_swin_windows: as unbiased inside each window, over its cells in raster order; stream
///   = the window's number.
SourcePlan draw_plan(const PlanSpec& spec, const RngKey& key);

// The draws behind plans over a line, for inputs that differ in size inside a batch. They read the
// words of `key`, stream and all.

/// The positions that unbiased subsampling keeps of N: round((1 - drop)·N) of them, ascending. May
/// be none.
std::vector<int32_t> draw_kept_positions(int64_t positions, double drop, const RngKey& key);
/// All positions in the noisy order of local_1d; `sigma` is a fraction of N.
std::vector<int32_t> draw_noisy_order(int64_t positions, double sigma, const RngKey& key);

}  // namespace ssa
