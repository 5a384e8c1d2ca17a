// Streams, events and graphs of the emulated runtime. The host's thread does all work: at once, or,
// if a stream is late (set_pace), when something waits for it.

#include "streams.h"

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "errors.h"

using emulation::failed;
using emulation::Pace;
using emulation::Work;

/// The place in a stream where an event was recorded.
struct Mark {
  cudaStream_t stream;
  bool reached = false;
  std::chrono::steady_clock::time_point time{};
};

struct EmulatedEvent {
  std::shared_ptr<Mark> latest;  // null: never recorded, so nothing waits for it
};

struct EmulatedGraph {
  std::vector<Work> nodes;  // in order: all of one stream
};

struct EmulatedGraphExec {
  std::vector<Work> nodes;
};

struct EmulatedStream {
  std::deque<Work> queue;
  Pace pace = Pace::soon;
  std::unique_ptr<EmulatedGraph> capture;
  bool spoiled = false;  // what is captured
  cudaError_t late_error = cudaSuccess;
};

namespace {

struct Streams {
  // Recursive: a stream's work may let another stream continue.
  std::recursive_mutex mutex;
  std::set<cudaStream_t> all;
  Pace new_pace = Pace::soon;
  int graph_launches = 0;
};

Streams& streams() {
  static Streams& instance = *new Streams;
  return instance;
}

using Lock = std::lock_guard<std::recursive_mutex>;

/// Does a stream's queued work, up to a mark if one is given.
cudaError_t advance(cudaStream_t stream, const Mark* until = nullptr) {
  while (!stream->queue.empty() && !(until && until->reached)) {
    const Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    const cudaError_t error = work();
    if (error != cudaSuccess) stream->late_error = error;
  }
  return std::exchange(stream->late_error, cudaSuccess);
}

cudaError_t wait_for(const std::shared_ptr<Mark>& mark) {
  if (!mark || mark->reached) return cudaSuccess;
  return advance(mark->stream, mark.get());
}

/// This project does not use the default stream; here it waits for no other stream.
cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (!stream) return work();
  stream->queue.push_back(std::move(work));
  return stream->pace == Pace::soon ? advance(stream) : cudaSuccess;
}

}  // namespace

namespace emulation {

cudaError_t submit(cudaStream_t stream, Work work) {
  const Lock lock(streams().mutex);
  if (!is_capturing(stream)) return enqueue(stream, std::move(work));
  stream->capture->nodes.push_back(std::move(work));
  return cudaSuccess;
}

bool is_capturing(cudaStream_t stream) {
  const Lock lock(streams().mutex);
  return stream && stream->capture;
}

cudaError_t refuse_during_capture(const char* call) {
  const Lock lock(streams().mutex);
  bool refused = false;
  for (const cudaStream_t stream : streams().all) {
    if (!stream->capture) continue;
    stream->spoiled = refused = true;
  }
  if (!refused) return cudaSuccess;
  return failed(cudaErrorStreamCaptureUnsupported,
                fmt::format("{} while calls are captured in a graph", call));
}

cudaError_t finish_all() {
  const Lock lock(streams().mutex);
  cudaError_t first = cudaSuccess;
  for (const cudaStream_t stream : streams().all) {
    const cudaError_t error = advance(stream);
    if (first == cudaSuccess) first = error;
  }
  return first;
}

void set_pace(cudaStream_t stream, Pace pace) {
  const Lock lock(streams().mutex);
  stream->pace = pace;
  if (pace == Pace::soon) advance(stream);
}

void set_pace_of_new_streams(Pace pace) {
  const Lock lock(streams().mutex);
  streams().new_pace = pace;
}

int graph_launches() {
  const Lock lock(streams().mutex);
  return streams().graph_launches;
}

}  // namespace emulation

// ---- streams -----------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(streams().mutex);
  *stream = new EmulatedStream;
  (*stream)->pace = streams().new_pace;
  streams().all.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(streams().mutex);
  const cudaError_t error = advance(stream);
  streams().all.erase(stream);
  delete stream;
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(streams().mutex);
  if (const cudaError_t error = emulation::refuse_during_capture("cudaStreamSynchronize")) {
    return error;
  }
  return stream ? advance(stream) : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(streams().mutex);
  if (emulation::is_capturing(stream)) {
    return emulation::refuse_during_capture("cudaStreamWaitEvent");
  }
  return enqueue(stream, [mark = event->latest] { return wait_for(mark); });
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = emulation::refuse_during_capture("cudaDeviceSynchronize")) {
    return error;
  }
  return emulation::finish_all();
}

// ---- events ------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(streams().mutex);
  if (emulation::is_capturing(stream)) return emulation::refuse_during_capture("cudaEventRecord");
  const auto mark = std::make_shared<Mark>(stream);
  event->latest = mark;
  return enqueue(stream, [mark] {
    mark->time = std::chrono::steady_clock::now();
    mark->reached = true;
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(streams().mutex);
  return wait_for(event->latest);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(streams().mutex);
  for (const cudaEvent_t event : {from, to}) {
    if (!event->latest) return failed(cudaErrorInvalidValue, "an event that was never recorded");
    if (!event->latest->reached) return failed(cudaErrorNotReady, "an event that is still to come");
  }
  using Milliseconds = std::chrono::duration<float, std::milli>;
  *milliseconds = Milliseconds(to->latest->time - from->latest->time).count();
  return cudaSuccess;
}

// ---- graphs ------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock(streams().mutex);
  if (!stream || stream->capture) {
    return failed(cudaErrorStreamCaptureUnsupported, "this stream cannot be captured now");
  }
  stream->capture = std::make_unique<EmulatedGraph>();
  stream->spoiled = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(streams().mutex);
  *graph = nullptr;
  if (!emulation::is_capturing(stream)) {
    return failed(cudaErrorInvalidValue, "the stream is not captured");
  }
  const auto captured = std::exchange(stream->capture, nullptr);
  if (stream->spoiled) {
    return failed(cudaErrorStreamCaptureInvalidated, "a call that cannot be captured was made");
  }
  *graph = new EmulatedGraph(*captured);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraphExec{graph->nodes};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  {
    const Lock lock(streams().mutex);
    ++streams().graph_launches;
  }
  return emulation::submit(stream, [nodes = exec->nodes] {
    for (const Work& node : nodes) {
      if (const cudaError_t error = node()) return error;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
