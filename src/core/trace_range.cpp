#include "ssa/core/trace_range.h"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#ifdef SSA_WITH_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace ssa {

namespace {

/// What the threads share with the TraceLog.
struct Recording {
  std::atomic<bool> active = false;
  std::mutex mutex;
  std::vector<TraceEvent> events;
  std::map<std::thread::id, int> threads;
};

Recording& recording() {
  static Recording one;
  return one;
}

void add(TraceEvent event) {
  Recording& to = recording();
  const std::lock_guard lock(to.mutex);
  const auto number = static_cast<int>(to.threads.size());
  event.thread = to.threads.emplace(std::this_thread::get_id(), number).first->second;
  to.events.push_back(event);
}

void begin_on_profiler([[maybe_unused]] const char* name, [[maybe_unused]] int64_t number) {
#ifdef SSA_WITH_NVTX
  nvtxRangePushA(number < 0 ? name : fmt::format("{} {}", name, number).c_str());
#endif
}

void end_on_profiler() {
#ifdef SSA_WITH_NVTX
  nvtxRangePop();
#endif
}

}  // namespace

TraceRange::TraceRange(const char* name) : TraceRange(name, -1) {}

TraceRange::TraceRange(const char* name, int64_t number) : name_(name), number_(number) {
  begin_on_profiler(name, number);
  if (recording().active) began_ = trace_clock();
}

TraceRange::~TraceRange() {
  end_on_profiler();
  if (began_ < 0 || !recording().active) return;
  add({.name = name_, .number = number_, .begin = began_, .end = trace_clock()});
}

std::string TraceEvent::label() const {
  return number < 0 ? std::string(name) : fmt::format("{} {}", name, number);
}

int64_t trace_clock() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void trace_beside(const char* lane, const char* name, int64_t number, int64_t began) {
  if (!recording().active) return;
  add({.name = name, .number = number, .lane = lane, .begin = began, .end = trace_clock()});
}

TraceLog::TraceLog() {
  Recording& own = recording();
  const std::lock_guard lock(own.mutex);
  own.events.clear();
  own.threads = {{std::this_thread::get_id(), 0}};
  own.active = true;
}

TraceLog::~TraceLog() { recording().active = false; }

std::vector<TraceEvent> TraceLog::events() const {
  Recording& own = recording();
  const std::lock_guard lock(own.mutex);
  return own.events;
}

}  // namespace ssa
