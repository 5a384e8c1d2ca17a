#pragma once

#include <csignal>
#include <thread>

#include <unistd.h>

#include "ssa/train/stop_signal.h"

namespace ssa::testing {

/// Sends this process a signal, and waits until StopSignal has it.
inline void signal_self(int number) {
  StopSignal::requested();  // or it would end the process: there would be nothing to save
  ::kill(::getpid(), number);
  while (!StopSignal::requested()) std::this_thread::yield();
}

}  // namespace ssa::testing
