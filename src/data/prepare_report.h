#pragma once

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/prepare.h"

namespace ssa {

/// Reports progress to the caller of prepare_dataset(), and asks whether to go on.
class PrepareReport {
 public:
  PrepareReport(const PrepareOptions& options, int64_t input_bytes, int64_t all_images = 0)
      : options_(options), stopped_(fmt::format("nothing was left at '{}'", options.output)) {
    progress_.input_bytes = input_bytes;
    progress_.all_images = all_images;
  }

  void images(int64_t done) {
    progress_.images = done;
    stopped_ = fmt::format("{} of {} images are done; the same command goes on from there", done,
                           progress_.all_images);
  }

  /// Throws Error with ExitCode::interrupted if the caller wants to stop.
  void at(int64_t input_read, int64_t bytes_written, int64_t molecules = 0) {
    progress_.input_read = input_read;
    progress_.molecules = molecules;
    progress_.bytes_written = bytes_written;
    if (options_.progress) options_.progress(progress_);
    if (options_.interrupted && options_.interrupted()) {
      throw Error(ExitCode::interrupted, fmt::format("interrupted; {}", stopped_));
    }
  }

 private:
  const PrepareOptions& options_;
  PrepareProgress progress_;
  std::string stopped_;  // what an interruption leaves
};

}  // namespace ssa
