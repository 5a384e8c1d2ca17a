#pragma once

#include <cstdint>

namespace ssa {

/// Names the work of this thread on the time line of NVIDIA's profilers while the object lives (an
/// NVTX range; `nsys profile --trace cuda,nvtx ssa-train …`). Ranges nest. They cost almost nothing
/// without a profiler, and do nothing in builds without CUDA.
class TraceRange {
 public:
  /// `name` is a literal; shown as "name" or "name number".
  explicit TraceRange(const char* name);
  TraceRange(const char* name, int64_t number);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

}  // namespace ssa
