#pragma once

// Arrays in chunks of 16 bytes, the most that one load of a thread brings.

#include <algorithm>
#include <cstdint>

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// As many consecutive elements as fill 16 bytes.
template <class T>
struct alignas(16) Chunk {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
  __device__ float operator[](int k) const { return to_float(values[k]); }
  __device__ void set(int k, float value) { values[k] = from_float<T>(value); }
};

/// Whether an array begins on 16 bytes.
template <class T>
__host__ __device__ bool is_aligned(const T* first) {
  return reinterpret_cast<uintptr_t>(first) % 16 == 0;
}

/// Whether rows that begin at `first`, `stride` elements apart, all begin on 16 bytes. Null counts
/// as aligned.
template <class T>
bool rows_are_aligned(const T* first, int64_t stride) {
  return is_aligned(first) && stride * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

#ifdef SSA_CUDA_EMULATION
/// Faults on unaligned addresses like a device, and may alias any type.
using SixteenBytes = unsigned __attribute__((vector_size(16), may_alias));
#else
using SixteenBytes = uint4;
#endif

/// Reads from an address that is a multiple of 16.
template <class T>
__device__ Chunk<T> load_chunk(const T* from) {
  Chunk<T> chunk;
  *reinterpret_cast<SixteenBytes*>(&chunk) = *reinterpret_cast<const SixteenBytes*>(from);
  return chunk;
}

/// Writes to an address that is a multiple of 16.
template <class T>
__device__ void store_chunk(T* to, const Chunk<T>& chunk) {
  *reinterpret_cast<SixteenBytes*>(to) = *reinterpret_cast<const SixteenBytes*>(&chunk);
}

/// The first `count` elements, any number, at any address, followed by zeros.
template <class T>
__device__ Chunk<T> load_part(const T* from, int count) {
  Chunk<T> chunk;
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) chunk.values[k] = k < count ? from[k] : T{};
  return chunk;
}

template <class T>
__device__ void store_part(T* to, const Chunk<T>& chunk, int count) {
#pragma unroll
  for (int k = 0; k < Chunk<T>::kSize; ++k) {
    if (k < count) to[k] = chunk.values[k];
  }
}

/// The chunk at element i, with zeros from `end` on. i is a multiple of the chunk's size.
template <class T>
__device__ Chunk<T> read_chunk(const T* array, int64_t i, int64_t end, bool aligned) {
  if (aligned && end - i >= Chunk<T>::kSize) return load_chunk(array + i);
  return load_part(array + i,
                   static_cast<int>(end - i < Chunk<T>::kSize ? end - i : Chunk<T>::kSize));
}

/// Writes the chunk at element i, up to `end`.
template <class T>
__device__ void write_chunk(T* array, int64_t i, int64_t end, bool aligned, const Chunk<T>& chunk) {
  if (aligned && end - i >= Chunk<T>::kSize) return store_chunk(array + i, chunk);
  store_part(array + i, chunk,
             static_cast<int>(end - i < Chunk<T>::kSize ? end - i : Chunk<T>::kSize));
}

/// kCount f32 that belong to the elements of a chunk of another type. Read and written likewise.
template <int kCount>
struct Floats {
  float values[kCount];
  __device__ float operator[](int k) const { return values[k]; }
};

template <int kCount>
__device__ Floats<kCount> read_floats(const float* array, int64_t i, int64_t end, bool aligned) {
  Floats<kCount> result;
#pragma unroll
  for (int part = 0; part < kCount; part += 4) {
    const Chunk<float> chunk =
        i + part < end ? read_chunk(array, i + part, end, aligned) : Chunk<float>{};
#pragma unroll
    for (int k = 0; k < 4; ++k) result.values[part + k] = chunk.values[k];
  }
  return result;
}

template <int kCount>
__device__ void write_floats(float* array, int64_t i, int64_t end, bool aligned,
                             const Floats<kCount>& floats) {
#pragma unroll
  for (int part = 0; part < kCount; part += 4) {
    if (i + part >= end) return;
    Chunk<float> chunk;
#pragma unroll
    for (int k = 0; k < 4; ++k) chunk.values[k] = floats.values[part + k];
    write_chunk(array, i + part, end, aligned, chunk);
  }
}

}  // namespace ssa::cuda
