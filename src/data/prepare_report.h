#pragma once

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/prepare.h"

namespace ssa {

/// Reports progress to the caller of prepare_dataset(), and asks whether to go on.
class PrepareReport {
 public:
  PrepareReport(const PrepareOptions& options, int64_t input_bytes) : options_(options) {
    progress_.input_bytes = input_bytes;
  }

  /// Throws Error with ExitCode::interrupted if the caller wants to stop.
  void at(int64_t input_read, int64_t bytes_written) {
    progress_.input_read = input_read;
    progress_.bytes_written = bytes_written;
    if (options_.progress) options_.progress(progress_);
    if (options_.interrupted && options_.interrupted()) {
      throw Error(ExitCode::interrupted,
                  fmt::format("interrupted; nothing was left at '{}'", options_.output));
    }
  }

 private:
  const PrepareOptions& options_;
  PrepareProgress progress_;
};

}  // namespace ssa
