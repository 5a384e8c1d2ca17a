#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "emulation/threads.h"

namespace emulation {

/// A mistake of a kernel that the emulation has found.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The order in which blocks, warps, and the threads of a warp run; each warp runs as far as it
/// can. A kernel whose result depends on it lacks a barrier, or needs one block to finish before
/// another.
enum class Order { forward, backward };
void set_order(Order order);

/// Calls run_thread() for every thread of a grid, one block after another. Throws Fault if threads
/// wait forever, or a warp's lanes are not in step.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& run_thread);

/// The event that a waiting thread waits for.
enum class Wait { nothing, block, warp };

/// Lets other threads run until `reached`, now at `value`, has changed.
void wait_while(Wait what, const uint64_t& reached, uint64_t value);

/// Index of the running thread in its block, x fastest.
unsigned thread_in_block();
unsigned threads_of_block();

// warp.cpp's part of a block's life.
void start_warps(unsigned threads);
/// The collective that the warp's waiting lanes are at, for messages.
std::string waiting_collective(unsigned warp);

}  // namespace emulation
