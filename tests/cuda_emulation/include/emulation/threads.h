#pragma once

// Indices and collectives of a kernel's threads. Warp functions need all 32 lanes in step, as this
// project's kernels use them. Anything else is reported as a fault.

#include <cstring>
#include <type_traits>

#include "emulation/types.h"

// Set before a thread continues. Not const, or the compiler would assume that they never change.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emulation {

inline constexpr size_t kMaxLaneBytes = 256;

enum class Collective { sync_warp, shuffle, vote, match, gather_lanes };

/// Every lane deposits `mine`; returns all 32, lane by lane, valid until the lane's next
/// collective.
const void* exchange(Collective kind, const void* mine, size_t bytes);
/// The lane of the running thread.
unsigned lane();
/// Reports a mask that is not all lanes.
void require_all_lanes(unsigned mask);
/// Waits for the block. Returns the number of threads with a `predicate` other than 0.
int sync_block(int predicate);
/// The block's dynamic shared memory, 128-byte aligned.
void* dynamic_shared_memory();
/// An asynchronous copy of the running thread; writes zeros if `from` is null. The copy is made at
/// once or, if the order is backward, when the thread waits. A kernel must not rely on either.
void copy_async(void* to, const void* from, size_t bytes);
void finish_copies();

template <class T>
const T* exchange(Collective kind, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxLaneBytes);
  return static_cast<const T*>(exchange(kind, &mine, sizeof(T)));
}

/// The collective that emulated tensor core instructions are built on: called by all lanes of a
/// warp; each gets a pointer to the 32 values, valid until its next collective.
template <class T>
const T* gather_lanes(const T& mine) {
  return exchange(Collective::gather_lanes, mine);
}

}  // namespace emulation

inline void __syncthreads() { emulation::sync_block(0); }
inline int __syncthreads_count(int predicate) { return emulation::sync_block(predicate); }
inline int __syncthreads_or(int predicate) { return emulation::sync_block(predicate) != 0; }
inline int __syncthreads_and(int predicate) { return emulation::sync_block(!predicate) == 0; }
inline void __threadfence() {}
inline void __threadfence_block() {}

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulation::require_all_lanes(mask);
  emulation::exchange(emulation::Collective::sync_warp, 'w');
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
  emulation::require_all_lanes(mask);
  const T* all = emulation::exchange(emulation::Collective::shuffle, value);
  const int segment = static_cast<int>(emulation::lane()) & ~(width - 1);
  return all[segment + (source & (width - 1))];
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize) {
  emulation::require_all_lanes(mask);
  const T* all = emulation::exchange(emulation::Collective::shuffle, value);
  const int lane = static_cast<int>(emulation::lane()), source = lane ^ bits;
  return all[source < (lane & ~(width - 1)) + width ? source : lane];
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  emulation::require_all_lanes(mask);
  const T* all = emulation::exchange(emulation::Collective::shuffle, value);
  const int lane = static_cast<int>(emulation::lane()), source = lane + static_cast<int>(delta);
  return all[source < (lane & ~(width - 1)) + width ? source : lane];
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  emulation::require_all_lanes(mask);
  const T* all = emulation::exchange(emulation::Collective::shuffle, value);
  const int lane = static_cast<int>(emulation::lane()), source = lane - static_cast<int>(delta);
  return all[source >= (lane & ~(width - 1)) ? source : lane];
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  emulation::require_all_lanes(mask);
  const int* all = emulation::exchange(emulation::Collective::vote, predicate);
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) result |= (all[lane] != 0 ? 1u : 0u) << lane;
  return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  emulation::require_all_lanes(mask);
  const T* all = emulation::exchange(emulation::Collective::match, value);
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) result |= (all[lane] == value ? 1u : 0u) << lane;
  return result;
}

// Atomics. Only one thread runs at a time. There are none on floating types, whose sums would
// depend on the order of threads.
namespace emulation {
template <class T, class F>
T read_modify_write(T* address, F&& f) {
  static_assert(std::is_integral_v<T>, "no atomics on floating types: results must not vary");
  const T old = *address;
  *address = f(old);
  return old;
}
}  // namespace emulation

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T old) { return old > value ? old : value; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T old) { return old < value ? old : value; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T old) { return static_cast<T>(old | value); });
}
template <class T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T old) { return static_cast<T>(old & value); });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return emulation::read_modify_write(address,
                                      [&](T old) { return old == expected ? value : old; });
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
