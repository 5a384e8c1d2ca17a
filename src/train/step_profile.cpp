#include "ssa/train/step_profile.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "ssa/storage/file_io.h"

namespace ssa {

namespace {

using nlohmann::json;

constexpr int kDeviceLane = 1000;  // behind the threads of the host

double microseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-3; }

/// Names a process or a thread.
json name_event(const char* what, int process, int thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

json complete_event(const std::string& name, const char* category, int process, int thread,
                    double begin, double duration) {
  return {{"ph", "X"},     {"name", name}, {"cat", category}, {"pid", process},
          {"tid", thread}, {"ts", begin},  {"dur", duration}};
}

/// Work beside the threads may overlap: it has a beginning and an end of its own.
void add_beside(json& events, const TraceEvent& event, int process, size_t id, int64_t zero) {
  const json both{{"name", event.label()},
                  {"cat", event.lane},
                  {"pid", process},
                  {"tid", event.thread},
                  {"id", id}};
  json begin = both, end = both;
  begin.update({{"ph", "b"}, {"ts", microseconds(event.begin - zero)}});
  end.update({{"ph", "e"}, {"ts", microseconds(event.end - zero)}});
  events.push_back(begin);
  events.push_back(end);
}

/// The format is that of Chrome's "Trace Event Format" document, times in microseconds.
json chrome_trace(const std::vector<TraceEvent>& host, const std::vector<DeviceWork>& device,
                  int64_t device_zero, int rank, const std::string& device_name) {
  int64_t zero = device_zero;
  for (const TraceEvent& event : host) zero = std::min(zero, event.begin);
  json events = json::array();
  std::set<int> threads;
  size_t id = 0;
  for (const TraceEvent& event : host) {
    threads.insert(event.thread);
    if (event.lane) {
      add_beside(events, event, rank, id++, zero);
    } else {
      events.push_back(complete_event(event.label(), "host", rank, event.thread,
                                      microseconds(event.begin - zero),
                                      microseconds(event.end - event.begin)));
    }
  }
  for (const DeviceWork& work : device) {
    events.push_back(complete_event(work.name, "device", rank, kDeviceLane,
                                    microseconds(device_zero - zero) + work.begin * 1e6,
                                    (work.end - work.begin) * 1e6));
  }
  events.push_back(name_event("process_name", rank, 0, fmt::format("rank {}", rank)));
  for (const int thread : threads) {
    events.push_back(name_event("thread_name", rank, thread,
                                thread == 0 ? "training" : fmt::format("reader {}", thread)));
  }
  if (!device.empty()) {
    events.push_back(name_event("thread_name", rank, kDeviceLane, device_name));
  }
  return {{"displayTimeUnit", "ms"}, {"traceEvents", events}};
}

}  // namespace

StepProfile::StepProfile(const ProfileOptions& options, int64_t steps_done, Device device, int rank)
    : first_(options.first > 0 ? options.first : steps_done + 3),
      last_(options.last > 0 ? options.last : first_ + 2),
      path_(fmt::format("{}/trace-rank-{}.json", options.dir, rank)),
      device_(device),
      rank_(rank) {
  make_directories(options.dir);
}

void StepProfile::before(int64_t step) {
  if (active() || written_ || step < first_ || step > last_) return;
  log_.emplace();
  // The host does its own work: its ranges say how long. A GPU must not be made to wait.
  const bool on_gpu = device_ == Device::cuda;
  primitives_.emplace(device_,
                      on_gpu ? BackendProfile::Timing::marks : BackendProfile::Timing::wait);
}

void StepProfile::after(int64_t step) {
  if (active() && step >= last_) write();
}

void StepProfile::finish() {
  if (active()) write();
  if (!written_) {
    spdlog::warn(
        "--profile: the run has ended without any of the steps {} to {}: nothing was written",
        first_, last_);
  }
}

void StepProfile::write() {
  const bool on_gpu = device_ == Device::cuda;
  const std::vector<DeviceWork> device =
      on_gpu ? primitives_->device_work() : std::vector<DeviceWork>();
  const std::vector<TraceEvent> host = log_->events();
  const int64_t device_zero = on_gpu && !device.empty() ? primitives_->first_call() : trace_clock();
  primitives_.reset();
  log_.reset();
  written_ = true;
  const json trace = chrome_trace(host, device, device_zero, rank_, backend(device_).description());
  write_file_atomically(path_, trace.dump() + "\n");
  spdlog::info("profile of steps {} to {}: {} (open it in https://ui.perfetto.dev)", first_, last_,
               path_);
}

}  // namespace ssa
