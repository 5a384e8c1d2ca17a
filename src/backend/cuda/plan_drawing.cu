// Plans over a sequence, drawn on the device. A window's sources are the positions whose random
// keys have certain ranks among those of the window's line. Nobody needs the order itself, so it is
// not sorted: two radix selections find the keys of the first rank and of the one behind the last,
// and a pass over the line in order writes the positions in between, which are then ascending.
//
// Compiled without contraction to fused multiply-adds: keys must have the bits that the host gives
// them.

#include "backend/checks.h"
#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/plan_drawing.h"
#include "core/normal_quantile.h"
#include "sampling/noisy_order.h"
#include "sampling/plan_kinds.h"

namespace ssa::cuda {
namespace {

constexpr int kBlock = 1024;  // a line is one block's work, but for drawing its keys
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

/// Line v has positions 0 … length-1 or, if `growing`, …(v+1)·per_line-1.
struct Lines {
  RngKey key;
  double scale;  ///< of the noise; negative: the order is that of the words themselves
  int64_t length, per_line;
  bool growing;
  uint64_t* keys;  ///< (lines, length)
};

__device__ int64_t length_of(const Lines& lines, int64_t line) {
  return lines.growing ? (line + 1) * lines.per_line : lines.length;
}

/// Bits that are ordered as the numbers are; -0 is 0.
__device__ uint64_t ordered_bits(double value) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  const auto bits = std::bit_cast<uint64_t>(value + 0.0);
  return bits & kSign ? ~bits : bits | kSign;
}

/// Grid: parts of the positions, lines.
__global__ void draw_keys(Lines lines) {
  const int64_t line = blockIdx.y, i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= length_of(lines, line)) return;
  RngKey key = lines.key;
  key.stream = static_cast<uint32_t>(lines.growing ? line : 0);
  const uint32_t word = key.word(static_cast<uint64_t>(i));
  uint64_t bits = word;
  if (lines.scale >= 0) {
    const auto root = [](double x) { return sqrt(x); };
    const double normal = normal_quantile::of_word(word, root);
    bits = ordered_bits(static_cast<double>(i) + lines.scale * normal);
  }
  lines.keys[line * lines.length + i] = bits;
}

/// Ranks below a bound: those of keys below `key`, and of the first `ties` that are equal to it.
struct Bound {
  uint64_t key;
  int64_t ties;
};

/// A digit, and how many keys have lower ones.
struct Digit {
  int32_t number, before;
};

/// The digit of the key of this rank, given how many keys have each digit: to one of the 32 lanes
/// that call; number -1 to the others.
__device__ Digit find_digit(const int32_t* counts, int32_t rank) {
  constexpr int kEach = kDigits / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int32_t mine = 0;
  for (int d = 0; d < kEach; ++d) mine += counts[lane * kEach + d];
  int32_t before = mine;
  for (int step = 1; step < kWarp; step *= 2) {
    const int32_t other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(step));
    if (lane >= step) before += other;
  }
  before -= mine;
  if (rank < before || rank >= before + mine) return {-1, 0};
  int digit = lane * kEach;
  while (before + counts[digit] <= rank) before += counts[digit++];
  return {digit, before};
}

/// The bound of ranks below `rank` among the block's keys.
__device__ Bound select_rank(const uint64_t* keys, int64_t count, int64_t rank) {
  __shared__ int32_t counts[kDigits];
  __shared__ Digit chosen;
  if (rank >= count) return {~uint64_t{0}, count};  // all
  uint64_t prefix = 0;
  int64_t left = rank;  // rank among the keys that begin like the prefix
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += kBlock) counts[d] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < count; i += kBlock) {
      const uint64_t key = keys[i];
      const bool alike = shift == 64 - kDigitBits || key >> (shift + kDigitBits) == prefix;
      if (alike) atomicAdd(&counts[key >> shift & (kDigits - 1)], 1);
    }
    __syncthreads();
    if (threadIdx.x < kWarp) {
      const auto digit = find_digit(counts, static_cast<int32_t>(left));
      if (digit.number >= 0) chosen = digit;
    }
    __syncthreads();
    prefix = prefix << kDigitBits | static_cast<uint64_t>(chosen.number);
    left -= chosen.before;
  }
  return {prefix, left};
}

/// How many of the block's threads before this one come with `flag`; *total: how many of all.
__device__ int count_before(bool flag, int* total) {
  __shared__ int warp_counts[kBlock / kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const unsigned flags = __ballot_sync(kAllLanes, flag);
  __syncthreads();  // an earlier call may still be read
  if (lane == 0) warp_counts[warp] = __popc(flags);
  __syncthreads();
  int before = __popc(flags & ((1u << lane) - 1));
  *total = 0;
  for (unsigned w = 0; w < kBlock / kWarp; ++w) {
    if (w < warp) before += warp_counts[w];
    *total += warp_counts[w];
  }
  return before;
}

/// The positions of a line, in blocks, in order: which are of a rank below the bound?
struct BelowBound {
  Bound bound;
  int64_t ties_before = 0;
  __device__ bool operator()(uint64_t key, bool exists) {
    int ties = 0;
    const bool tie = exists && key == bound.key;
    const int64_t number = ties_before + count_before(tie, &ties);
    ties_before += ties;
    return exists && (key < bound.key || (tie && number < bound.ties));
  }
};

/// Block b writes the `width` positions whose ranks in its line begin with b·step, ascending.
__global__ void __launch_bounds__(kBlock)
    write_ranks(Lines lines, bool one_line, int64_t step, int64_t width, int32_t* sources) {
  const int64_t line = one_line ? 0 : blockIdx.x, count = length_of(lines, line);
  const uint64_t* keys = lines.keys + line * lines.length;
  const int64_t first_rank = int64_t{blockIdx.x} * step;
  BelowBound below_first{select_rank(keys, count, first_rank)};
  BelowBound below_end{select_rank(keys, count, first_rank + width)};
  int32_t* to = sources + int64_t{blockIdx.x} * width;
  int64_t written = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t i = begin + threadIdx.x;
    const bool exists = i < count;
    const uint64_t key = exists ? keys[i] : 0;
    const bool too_low = below_first(key, exists), low_enough = below_end(key, exists);
    int total = 0;
    const int before = count_before(low_enough && !too_low, &total);
    if (low_enough && !too_low) to[written + before] = static_cast<int32_t>(i);
    written += total;
  }
}

__global__ void write_in_order(int32_t* out, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i < count) out[i] = static_cast<int32_t>(i);
}

unsigned blocks_for(int64_t count) { return static_cast<unsigned>((count + kBlock - 1) / kBlock); }

void fill_in_order(Tensor& out) {
  launch("draw_plan", write_in_order, dim3(blocks_for(out.numel())), dim3(kBlock), 0,
         out.data<int32_t>(), out.numel());
}

/// `windows` times `width` sources whose ranks begin step apart.
void draw_ranks(Lines lines, int64_t windows, int64_t step, int64_t width, Tensor& sources) {
  const int64_t count = lines.growing ? windows : 1;
  Tensor keys =
      Tensor::empty({count, lines.length, 8}, DType::u8, Device::cuda, MemoryCategory::workspace);
  lines.keys = reinterpret_cast<uint64_t*>(keys.raw());
  launch("draw_plan", draw_keys, dim3(blocks_for(lines.length), static_cast<unsigned>(count)),
         dim3(kBlock), 0, lines);
  launch("draw_plan", write_ranks, dim3(static_cast<unsigned>(windows)), dim3(kBlock), 0, lines,
         !lines.growing, step, width, sources.data<int32_t>());
}

}  // namespace

void draw_plan_on_device(const PlanSpec& spec, const RngKey& key, Tensor& targets,
                         Tensor& sources) {
  validate(spec);
  if (spec.kind == PlanKind::local_2d || spec.kind == PlanKind::swin_windows) {
    throw ConfigError("draw_plan_on_device: plans over a grid are drawn on the host");
  }
  const checks::Op op("draw_plan", Device::cuda);
  const bool windowed = spec.kind == PlanKind::local_1d;
  const int64_t windows = windowed ? spec.windows : 1, length = spec.positions;
  const int64_t per_window = length / windows;
  const int64_t width = spec.kind == PlanKind::unbiased ? unbiased_sources(spec) : per_window;
  checks::require_packed(op, {"targets", targets}, DType::i32, {windows, per_window});
  checks::require_packed(op, {"sources", sources}, DType::i32, {windows, width});
  fill_in_order(targets);
  if (spec.kind == PlanKind::dense) return fill_in_order(sources);
  const Lines lines{.key = key,
                    .scale = windowed ? noise_scale(spec.sigma, length) : -1.0,
                    .length = length,
                    .per_line = per_window,
                    .growing = windowed && spec.causal,
                    .keys = nullptr};
  draw_ranks(lines, windows, per_window, width, sources);
}

}  // namespace ssa::cuda
