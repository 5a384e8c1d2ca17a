#include "ssa/data/worker_pool.h"

#include <exception>

#include "ssa/core/error.h"

namespace ssa {

/// The tasks of one call of run(). Lives on its stack.
struct WorkerPool::Job {
  int64_t count;
  const std::function<void(int64_t)>& task;
  int64_t begun = 0;
  int64_t done = 0;
  int64_t failed = -1;  // the lowest task that threw
  std::exception_ptr error = nullptr;
};

WorkerPool::WorkerPool(int64_t workers) {
  SSA_CHECK(workers >= 1, "worker pool: {} workers", workers);
  try {
    for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {  // the system has no room for another thread
    if (threads_.empty()) throw;
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(int64_t count, const std::function<void(int64_t)>& task) {
  if (count <= 0) return;
  Job job{.count = count, .task = task};
  std::unique_lock lock(mutex_);
  jobs_.push_back(&job);
  changed_.notify_all();
  changed_.wait(lock, [&job] { return job.done == job.count; });
  if (job.error) std::rethrow_exception(job.error);
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job& job = *jobs_.front();
    const int64_t mine = job.begun++;
    if (job.begun == job.count) jobs_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      job.task(mine);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && (job.failed < 0 || mine < job.failed)) {
      job.failed = mine;
      job.error = error;
    }
    if (++job.done == job.count) changed_.notify_all();
  }
}

}  // namespace ssa
