#include "ssa/data/lm_loader.h"

#include <utility>

#include "ssa/core/error.h"

namespace ssa {

LmLoader::LmLoader(const TokenDataset& dataset, Split split, const LmSampler& sampler,
                   int64_t batch_size, int64_t first_step, int64_t last_step, size_t depth,
                   BatchSlice slice)
    : dataset_(dataset),
      split_(split),
      sampler_(sampler),
      batch_size_(batch_size),
      first_step_(first_step),
      last_step_(last_step),
      depth_(depth),
      slice_(slice) {
  SSA_CHECK(batch_size >= 1 && depth >= 1, "LmLoader: batch size {} and depth {} must be positive",
            batch_size, depth);
  SSA_CHECK(first_step >= 0 && first_step <= last_step, "LmLoader: no steps from {} to {}",
            first_step, last_step);
  SSA_CHECK(
      slice.first >= 0 && slice.first <= batch_size && slice.count <= batch_size - slice.first,
      "LmLoader: rows from {} ({} of them) are not inside a batch of {}", slice.first, slice.count,
      batch_size);
  thread_ = std::thread([this] { run(); });
}

LmLoader::~LmLoader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

LmBatch LmLoader::next() {
  std::unique_lock lock(mutex_);
  SSA_CHECK(first_step_ + taken_ < last_step_, "LmLoader: all {} batches have been taken",
            last_step_ - first_step_);
  changed_.wait(lock, [this] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  LmBatch batch = std::move(ready_.front());
  ready_.pop_front();
  ++taken_;
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void LmLoader::run() {
  try {
    for (int64_t step = first_step_; step < last_step_; ++step) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || ready_.size() < depth_; });
        if (stop_) return;
      }
      LmBatch batch = sampler_.batch(dataset_, split_, batch_size_, step, slice_);
      {
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(batch));
      }
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

}  // namespace ssa
