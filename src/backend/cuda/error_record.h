#pragma once

// Reports ids outside their table. A kernel cannot throw, and the host cannot check ids on the
// device before the launch. So a kernel treats such an id as 0 and writes a word into a record on
// the device. The next call that waits for the device throws.

#include <cstdint>

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// The primitives that look something up by id. If several errors are found at one wait, the record
/// holds that of the last primitive in this list, at its lowest index.
enum class Lookup : uint32_t {
  gather_rows_backward = 1,
  gather_rows,
  soft_cross_entropy_backward,
  soft_cross_entropy,
  cross_entropy_backward,
  cross_entropy,
  embedding_backward,
  embedding,
  attention_sources,
  attention_targets,
  graph_classes,
  graph_sources,
  graph_offsets
};

/// The first of kRecordWords words. Word 0 is 0 without an error; else, from the top, 4 bits of
/// Lookup, 28 bits of (largest - index), and 32 bits of the id. Word n is the range of ids that
/// Lookup n allows, its end above its beginning. The largest of several values stays, in whatever
/// order they are recorded.
using ErrorRecord = unsigned long long;
inline constexpr int kRecordWords = 16;

/// The record in device memory.
ErrorRecord* error_record();

/// Waits for all work of the stream. Clears the record, and throws ShapeError if it held an error.
void wait_and_check();

/// Returns `id`, or records an error and returns 0 if it is outside lowest … end-1. end is below
/// 2^32.
__device__ inline int32_t checked_id(int32_t id, int32_t lowest, int64_t end, Lookup primitive,
                                     int64_t index, ErrorRecord* record) {
  if (id >= lowest && id < end) return id;
  constexpr int64_t kLargest = (int64_t{1} << 28) - 1;
  const auto number = static_cast<uint32_t>(primitive);
  const int64_t from_top = kLargest - (index < kLargest ? index : kLargest);
  atomicMax(record, ErrorRecord{number} << 60 | static_cast<ErrorRecord>(from_top) << 32 |
                        static_cast<uint32_t>(id));
  atomicMax(record + number, static_cast<ErrorRecord>(end) << 32 | static_cast<uint32_t>(lowest));
  return 0;
}

}  // namespace ssa::cuda
