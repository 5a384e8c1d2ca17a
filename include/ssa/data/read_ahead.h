#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ssa/core/error.h"

namespace ssa {

/// Makes the items of coming steps ahead of time, in a pool of worker threads, and returns them in
/// order. Each item is a pure function of its number, so results depend neither on timing nor on
/// the number of workers.
template <class Item>
class ReadAhead {
 public:
  /// `make(number)` is called once for each first ≤ number < end, from several threads at a time.
  /// At most `depth` items are in the making or ready. Throws ShapeError if end < first, depth < 1
  /// or workers < 1.
  ReadAhead(std::function<Item(int64_t number)> make, int64_t first, int64_t end, int64_t depth = 2,
            int64_t workers = 2)
      : make_(std::move(make)), end_(end), depth_(depth), unmade_(first), next_(first) {
    SSA_CHECK(first <= end, "read-ahead: no items from {} to {}", first, end);
    SSA_CHECK(depth >= 1 && workers >= 1, "read-ahead: {} items ready by {} workers", depth,
              workers);
    try {
      for (int64_t i = 0; i < std::min(workers, depth); ++i) {
        workers_.emplace_back([this] { work(); });
      }
    } catch (...) {  // the system has no room for another thread
      stop();
      throw;
    }
  }
  /// Stops the workers after the items they are making.
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// Returns the next item, after waiting for it. If make() threw for it, throws the same
  /// exception, now and at every later call. Throws ShapeError after the last item.
  Item next() {
    std::unique_lock lock(mutex_);
    SSA_CHECK(next_ < end_, "read-ahead: all items have been taken, {} was the last", end_ - 1);
    changed_.wait(lock, [this] { return made_.contains(next_); });
    Made& made = made_.at(next_);
    if (made.error) std::rethrow_exception(made.error);
    Item item = *std::move(made.item);
    made_.erase(next_++);
    lock.unlock();
    changed_.notify_all();
    return item;
  }

 private:
  struct Made {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void work() {
    while (const std::optional<int64_t> number = claim()) {
      Made made;
      try {
        made.item = make_(*number);
      } catch (...) {
        made.error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        stop_ = stop_ || made.error;  // no item after a failed one can be taken
        made_.emplace(*number, std::move(made));
      }
      changed_.notify_all();
    }
  }

  /// The number of the item that a worker makes next; nothing if no work is left.
  std::optional<int64_t> claim() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || unmade_ == end_ || unmade_ < next_ + depth_; });
    if (stop_ || unmade_ == end_) return std::nullopt;
    return unmade_++;
  }

  const std::function<Item(int64_t)> make_;
  const int64_t end_;
  const int64_t depth_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Made> made_;  // guarded by mutex_, as are those below
  int64_t unmade_;                // the first that no worker has claimed
  int64_t next_;                  // the first that has not been taken
  bool stop_ = false;
  std::vector<std::thread> workers_;  // last: they start when everything above exists
};

}  // namespace ssa
