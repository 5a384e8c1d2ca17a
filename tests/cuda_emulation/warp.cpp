// Collectives of the 32 lanes of a warp: each lane deposits a value and waits for the others.

#include <memory>
#include <vector>

#include <fmt/format.h>

#include "fibers.h"

namespace emulation {

namespace {

struct Warp {
  unsigned arrived = 0;
  uint64_t done = 0;  // collectives that all lanes have reached
  Collective kind{};
  size_t bytes = 0;
  // Two buffers, because lanes that are ahead deposit while others still read.
  alignas(64) std::byte values[2][32 * kMaxLaneBytes];
};

std::vector<std::unique_ptr<Warp>> warps;

const char* name(Collective kind) {
  switch (kind) {
    case Collective::sync_warp:
      return "__syncwarp";
    case Collective::shuffle:
      return "a shuffle";
    case Collective::vote:
      return "a vote";
    case Collective::match:
      return "__match_any_sync";
    case Collective::gather_lanes:
      return "a matrix instruction";
  }
  return "?";
}

/// Deposits of lanes at different instructions must not be mixed.
void require_same(const Warp& warp, Collective kind, size_t bytes) {
  if (warp.kind == kind && warp.bytes == bytes) return;
  throw Fault(
      fmt::format("warp {} of block ({}, {}, {}) is not in step: lane {} is at {} of {} "
                  "bytes, earlier ones at {} of {}",
                  thread_in_block() / 32, blockIdx.x, blockIdx.y, blockIdx.z, lane(), name(kind),
                  bytes, name(warp.kind), warp.bytes));
}

}  // namespace

void start_warps(unsigned threads) {
  const unsigned needed = (threads + 31) / 32;
  while (warps.size() < needed) warps.push_back(std::make_unique<Warp>());
  for (unsigned i = 0; i < needed; ++i) {
    warps[i]->arrived = 0;
    warps[i]->done = 0;
  }
}

std::string waiting_collective(unsigned warp) { return name(warps[warp]->kind); }

unsigned lane() { return thread_in_block() % 32; }

void require_all_lanes(unsigned mask) {
  if (mask == 0xffffffffu) return;
  throw Fault(
      fmt::format("a warp function was called with mask {:#x}; this project calls them "
                  "with all lanes only",
                  mask));
}

const void* exchange(Collective kind, const void* mine, size_t bytes) {
  const unsigned thread = thread_in_block(), first = thread / 32 * 32;
  if (first + 32 > threads_of_block()) {
    throw Fault(fmt::format("{} in a warp of {} threads", name(kind), threads_of_block() - first));
  }
  Warp& warp = *warps[thread / 32];
  if (warp.arrived == 0) {
    warp.kind = kind;
    warp.bytes = bytes;
  } else {
    require_same(warp, kind, bytes);
  }
  const uint64_t now = warp.done;
  std::byte* values = warp.values[now % 2];
  std::memcpy(values + (thread - first) * bytes, mine, bytes);
  if (++warp.arrived == 32) {
    warp.arrived = 0;
    ++warp.done;
  } else {
    wait_while(Wait::warp, warp.done, now);
  }
  return values;
}

}  // namespace emulation
