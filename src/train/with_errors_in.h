#pragma once

#include <exception>
#include <utility>

#include "ssa/core/out_of_memory.h"
#include "ssa/train/log_file.h"

namespace ssa {

/// Calls `body`. An error that it throws is written to the log file and thrown on.
template <class Body>
auto with_errors_in(LogFile& log, Body&& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    log.error(is_out_of_memory(error) ? out_of_memory_message(error) : error.what());
    throw;
  }
}

}  // namespace ssa
