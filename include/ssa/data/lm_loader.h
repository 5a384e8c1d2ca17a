#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "ssa/data/lm_sampler.h"
#include "ssa/data/token_dataset.h"

namespace ssa {

/// Reads the batches of steps first_step … last_step-1 ahead, in a thread of its own. The batches
/// are LmSampler's: reading ahead changes nothing but the time.
class LmLoader {
 public:
  /// `slice`: the rows of each global batch to read. `depth`: batches kept ready. Throws ShapeError
  /// for a slice outside the batch, a depth of 0 or a last step before the first.
  LmLoader(const TokenDataset& dataset, Split split, const LmSampler& sampler, int64_t batch_size,
           int64_t first_step, int64_t last_step, size_t depth = 2, BatchSlice slice = {});
  /// Stops the thread after the batch it is at.
  ~LmLoader();
  LmLoader(const LmLoader&) = delete;
  LmLoader& operator=(const LmLoader&) = delete;

  /// The next step's batch; waits for it. An error of the thread is thrown here once the batches
  /// before it are taken, and again at every later call. Throws ShapeError behind the last step.
  LmBatch next();

 private:
  void run();

  const TokenDataset dataset_;
  const Split split_;
  const LmSampler sampler_;
  const int64_t batch_size_;
  const int64_t first_step_;
  const int64_t last_step_;
  const size_t depth_;
  const BatchSlice slice_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<LmBatch> ready_;  // guarded by mutex_, as are those below
  std::exception_ptr error_;
  bool stop_ = false;
  int64_t taken_ = 0;   // batches given out
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace ssa
