#pragma once

#include <csignal>
#include <thread>

#include <unistd.h>

#include "ssa/train/stop_signal.h"

namespace ssa::testing {

/// Sends this process a signal, and waits until StopSignal has it.
inline void signal_self(int number) {
  ::kill(::getpid(), number);
  while (!StopSignal::requested()) std::this_thread::yield();
}

}  // namespace ssa::testing
