#pragma once

#include <functional>

#include "emulation/runtime_api.h"

namespace emulation {

/// A stream's unit of work: a kernel or a copy. Nothing else runs on the device meanwhile.
using Work = std::function<cudaError_t()>;

/// Queues work on a stream, or adds it to the graph that captures the stream. Returns the error of
/// work that runs before this returns. The next wait returns the error of later work.
cudaError_t submit(cudaStream_t stream, Work work);

/// Whether the calls of this stream are captured.
bool is_capturing(cudaStream_t stream);
/// Refuses a call that waits or returns data, and invalidates every capture.
cudaError_t refuse_during_capture(const char* call);
/// Does all queued work of all streams.
cudaError_t finish_all();

/// When a stream does its work: as soon as possible, or as late as possible, when the host or
/// another stream waits for it. A program with correctly ordered streams gives the same results
/// with both.
enum class Pace { soon, late };
void set_pace(cudaStream_t stream, Pace pace);
/// Sets the pace of streams that are created from now on; the default is soon.
void set_pace_of_new_streams(Pace pace);

/// The number of graphs launched so far.
int graph_launches();

}  // namespace emulation
