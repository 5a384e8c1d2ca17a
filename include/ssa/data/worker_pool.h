#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace ssa {

/// Threads that do many small tasks, such as decoding the pictures of a batch.
class WorkerPool {
 public:
  /// Throws ShapeError for workers < 1.
  explicit WorkerPool(int64_t workers);
  /// Waits for the tasks that are being done.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int64_t workers() const { return static_cast<int64_t>(threads_.size()); }
  /// Calls task(i) for each 0 ≤ i < count on the workers, and returns when all are done. If some
  /// throw, throws what the one with the lowest i threw. Several threads may call it at a time; a
  /// task must not.
  void run(int64_t count, const std::function<void(int64_t i)>& task);

 private:
  struct Job;
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job*> jobs_;  // those with tasks that no worker has begun; guarded by mutex_
  bool stop_ = false;
  std::vector<std::thread> threads_;  // last: they start when everything above exists
};

}  // namespace ssa
