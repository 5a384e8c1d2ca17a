#pragma once

#include <exception>
#include <utility>

#include "ssa/train/log_file.h"

namespace ssa {

/// Calls `body`. An error that it throws is written to the log file and thrown on.
template <class Body>
auto with_errors_in(LogFile& log, Body&& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    log.error(error.what());
    throw;
  }
}

}  // namespace ssa
