#pragma once

#include <exception>
#include <utility>

#include "ssa/train/log_file.h"

namespace ssa {

/// Calls `body`; the error that ends it, which the program prints, is also put into the log file.
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
