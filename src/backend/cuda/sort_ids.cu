// A stable radix sort of ids with their rows, from the lowest digit to the highest. Each warp has a
// segment of consecutive ids. It counts their digits; prefix sums over (digit, segment) give the
// place of each segment's ids of each digit; then the warp moves its ids there, in order. Places
// are a function of the ids alone, so the result does not depend on the order of threads.

#include <bit>

#include "ssa/core/error.h"

#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/sort_ids.h"

namespace ssa::cuda {
namespace {

constexpr int kMostBits = 10;           // per digit: 4 KiB of counters per warp
constexpr int kSortWarps = 4;           // segments per block
constexpr int kScanWarps = 32;          // per block that adds up counts
constexpr int64_t kMostSegments = 256;  // few enough that counts stay in the cache
constexpr int64_t kLeastSegment = 256;  // ids; a multiple of a warp

/// One pass over the ids.
struct DigitPass {
  const int32_t* ids;
  const int32_t* rows;  ///< null: row i has id i
  int32_t* sorted_ids;
  int32_t* sorted_rows;
  int32_t*
      counts;  ///< (segments, digits): number of ids; later, their number in all segments before
  int32_t* totals;  ///< (digits)
  int64_t count;
  int64_t segment;  ///< ids of a segment, a multiple of a warp
  int64_t segments;
  int shift, digits;
};

__device__ int digit_of(const DigitPass& pass, int32_t id) {
  return id >> pass.shift & (pass.digits - 1);
}

/// Calls f(index of this lane's id, whether it exists) for the segment's ids, in order.
template <class F>
__device__ void for_segment(const DigitPass& pass, int64_t segment, const F& f) {
  const int64_t first = segment * pass.segment;
  const int64_t end = first + pass.segment < pass.count ? first + pass.segment : pass.count;
  for (int64_t i = first; i < end; i += kWarp) {
    const int64_t mine = i + threadIdx.x % kWarp;
    f(mine, mine < end);
  }
}

__global__ void check_ids(const int32_t* ids, int64_t count, int64_t end, Lookup primitive,
                          ErrorRecord* record, int32_t* checked) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) checked[i] = checked_id(ids[i], 0, end, primitive, i, record);
}

/// This warp's counters in shared memory.
__device__ int32_t* warp_counters(const DigitPass& pass) {
  return dynamic_shared<int32_t>() + static_cast<int>(threadIdx.x) / kWarp * pass.digits;
}

__global__ void count_digits(DigitPass pass) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t segment = int64_t{blockIdx.x} * kSortWarps + threadIdx.x / kWarp;
  if (segment >= pass.segments) return;  // a whole warp
  int32_t* counters = warp_counters(pass);
  for (int d = lane; d < pass.digits; d += kWarp) counters[d] = 0;
  __syncwarp();
  for_segment(pass, segment, [&](int64_t i, bool exists) {
    if (exists) atomicAdd(&counters[digit_of(pass, pass.ids[i])], 1);
  });
  __syncwarp();
  for (int d = lane; d < pass.digits; d += kWarp) {
    pass.counts[segment * pass.digits + d] = counters[d];
  }
}

/// Turns counts into sums over all segments before. One lane per digit; a warp takes some of the
/// segments.
__global__ void add_up_segments(DigitPass pass) {
  __shared__ int32_t sums[kScanWarps][kWarp];
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
  const int digit = static_cast<int>(blockIdx.x) * kWarp + lane;
  const bool exists = digit < pass.digits;
  const int64_t each = (pass.segments + kScanWarps - 1) / kScanWarps;
  const int64_t first = warp * each;
  const int64_t end = first + each < pass.segments ? first + each : pass.segments;
  int32_t sum = 0;
  for (int64_t s = first; s < end; ++s) sum += exists ? pass.counts[s * pass.digits + digit] : 0;
  sums[warp][lane] = sum;
  __syncthreads();
  int32_t before = 0;
  for (int w = 0; w < warp; ++w) before += sums[w][lane];
  if (!exists) return;
  if (warp == kScanWarps - 1) pass.totals[digit] = before + sum;
  for (int64_t s = first; s < end; ++s) {
    int32_t& place = pass.counts[s * pass.digits + digit];
    const int32_t here = place;
    place = before;
    before += here;
  }
}

/// Turns totals into sums over all lower digits. Runs in one warp.
__global__ void add_up_digits(DigitPass pass) {
  const int lane = static_cast<int>(threadIdx.x);
  int32_t before = 0;
  for (int first = 0; first < pass.digits; first += kWarp) {
    const int digit = first + lane;
    const int32_t mine = digit < pass.digits ? pass.totals[digit] : 0;
    int32_t up_to = mine;
    for (int step = 1; step < kWarp; step *= 2) {
      const int32_t other = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(step));
      if (lane >= step) up_to += other;
    }
    if (digit < pass.digits) pass.totals[digit] = before + up_to - mine;
    before += __shfl_sync(kAllLanes, up_to, kWarp - 1);
  }
}

__global__ void move_ids(DigitPass pass) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t segment = int64_t{blockIdx.x} * kSortWarps + threadIdx.x / kWarp;
  if (segment >= pass.segments) return;  // a whole warp
  int32_t* next = warp_counters(pass);   // where the segment's next id of each digit goes
  for (int d = lane; d < pass.digits; d += kWarp) {
    next[d] = pass.totals[d] + pass.counts[segment * pass.digits + d];
  }
  __syncwarp();
  for_segment(pass, segment, [&](int64_t i, bool exists) {
    const int32_t id = exists ? pass.ids[i] : 0;
    const int digit = exists ? digit_of(pass, id) : -1;
    const unsigned alike = __match_any_sync(kAllLanes, digit);
    const int rank = __popc(alike & ((1u << lane) - 1));
    const int32_t place = exists ? next[digit] + rank : 0;
    __syncwarp();
    if (exists) {
      pass.sorted_ids[place] = id;
      pass.sorted_rows[place] = pass.rows ? pass.rows[i] : static_cast<int32_t>(i);
      if (rank == 0) next[digit] += __popc(alike);
    }
    __syncwarp();
  });
}

void sort_by_digit(const DigitPass& pass) {
  const auto blocks = static_cast<unsigned>((pass.segments + kSortWarps - 1) / kSortWarps);
  const size_t counters = sizeof(int32_t) * kSortWarps * static_cast<size_t>(pass.digits);
  launch("sort_ids", count_digits, dim3(blocks), dim3(kSortWarps * kWarp), counters, pass);
  launch("sort_ids", add_up_segments,
         dim3(static_cast<unsigned>((pass.digits + kWarp - 1) / kWarp)), dim3(kWarp, kScanWarps), 0,
         pass);
  launch("sort_ids", add_up_digits, dim3(1), dim3(kWarp), 0, pass);
  launch("sort_ids", move_ids, dim3(blocks), dim3(kSortWarps * kWarp), counters, pass);
}

Tensor workspace(int64_t count) {
  return Tensor::empty({count}, DType::i32, Device::cuda, MemoryCategory::workspace);
}

}  // namespace

SortedIds sort_ids(const Tensor& ids, int64_t end, Lookup primitive) {
  constexpr unsigned kBlock = 256;
  const int64_t count = ids.numel();
  SSA_CHECK(count <= INT32_MAX, "sort_ids: {} ids are more than {}", count, INT32_MAX);
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(end - 1))));
  const int passes = (bits + kMostBits - 1) / kMostBits, digit_bits = (bits + passes - 1) / passes;
  const int64_t each = std::max(kLeastSegment, (count + kMostSegments - 1) / kMostSegments);
  DigitPass pass{};
  pass.count = count;
  pass.segment = (each + kWarp - 1) / kWarp * kWarp;
  pass.segments = (count + pass.segment - 1) / pass.segment;
  pass.digits = 1 << digit_bits;

  Tensor from_ids = workspace(count), from_rows = workspace(count);
  Tensor to_ids = workspace(count), to_rows = workspace(count);
  Tensor counts = workspace(pass.segments * pass.digits), totals = workspace(pass.digits);
  pass.counts = counts.data<int32_t>();
  pass.totals = totals.data<int32_t>();
  launch("sort_ids", check_ids, dim3(static_cast<unsigned>((count + kBlock - 1) / kBlock)),
         dim3(kBlock), 0, ids.data<int32_t>(), count, end, primitive, error_record(),
         from_ids.data<int32_t>());
  for (int p = 0; p < passes; ++p) {
    pass.shift = p * digit_bits;
    pass.ids = from_ids.data<int32_t>();
    pass.rows = p == 0 ? nullptr : from_rows.data<int32_t>();
    pass.sorted_ids = to_ids.data<int32_t>();
    pass.sorted_rows = to_rows.data<int32_t>();
    sort_by_digit(pass);
    std::swap(from_ids, to_ids);
    std::swap(from_rows, to_rows);
  }
  return {from_ids, from_rows};
}

}  // namespace ssa::cuda
