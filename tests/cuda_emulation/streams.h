#pragma once

#include <functional>

#include "emulation/runtime_api.h"

namespace emulation {

/// What a stream is given to do: a kernel, a copy. Runs with the device to itself.
using Work = std::function<cudaError_t()>;

/// Queues work on a stream, or puts it into the graph that the stream's calls are captured in. Of
/// work that runs before this returns, its error; of later work the next wait returns the error.
cudaError_t submit(cudaStream_t stream, Work work);

/// Whether calls of this stream go into a graph.
bool is_capturing(cudaStream_t stream);
/// Refuses, and spoils every capture, as calls do that wait or need an answer.
cudaError_t refuse_during_capture(const char* call);
/// Does all that is queued anywhere.
cudaError_t finish_all();

/// When a stream does its work: as soon as it may, or as late as it can, which is when the host or
/// another stream waits for it. Programs that order their streams rightly cannot tell.
enum class Pace { soon, late };
void set_pace(cudaStream_t stream, Pace pace);
/// Of streams that are made from now on; soon at first.
void set_pace_of_new_streams(Pace pace);

/// How many graphs have been launched so far.
int graph_launches();

}  // namespace emulation
