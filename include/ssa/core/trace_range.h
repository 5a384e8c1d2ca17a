#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ssa {

/// Names the work of this thread on the time line of NVIDIA's profilers (an NVTX range; `nsys
/// profile --trace cuda,nvtx ssa-train …`) and in a TraceLog while the object lives. Ranges nest.
/// They cost almost nothing where nobody listens.
class TraceRange {
 public:
  /// `name` is a literal; shown as "name" or "name number".
  explicit TraceRange(const char* name);
  TraceRange(const char* name, int64_t number);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  const char* name_;
  int64_t number_ = -1;
  int64_t began_ = -1;  // when a TraceLog listened at the start
};

/// A piece of work that was traced.
struct TraceEvent {
  const char* name = "";
  int64_t number = -1;         ///< -1: none
  const char* lane = nullptr;  ///< of work that no thread does by itself; null: a thread's
  int thread = 0;              ///< 0 is the one that made the TraceLog
  int64_t begin = 0, end = 0;  ///< trace_clock()

  /// "forward", "forward 2"
  std::string label() const;
};

/// Nanoseconds of a clock that only goes forward.
int64_t trace_clock();

/// Records work that began at `began` and ends now, beside what this thread does: a collective.
/// `lane` and `name` are literals. Does nothing without a TraceLog.
void trace_beside(const char* lane, const char* name, int64_t number, int64_t began);

/// Collects what all threads trace while it lives. Only one may live at a time.
class TraceLog {
 public:
  TraceLog();
  ~TraceLog();
  TraceLog(const TraceLog&) = delete;
  TraceLog& operator=(const TraceLog&) = delete;

  /// In the order of their ends.
  std::vector<TraceEvent> events() const;
};

}  // namespace ssa
