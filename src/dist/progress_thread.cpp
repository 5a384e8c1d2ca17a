#include "dist/progress_thread.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <sys/prctl.h>

#include "dist/peer_report.h"

namespace ssa::dist {

namespace {

using namespace std::chrono_literals;

constexpr size_t kAtOnce = 4;  // running operations: more would only share the same network
constexpr std::chrono::microseconds kShortestPause{20}, kLongestPause{200};  // between polls …
constexpr auto kPauseBlocked =
    40us;  // … and while a caller waits, after kYields polls without a pause
constexpr int kYields = 30;
constexpr auto kIdle = 50ms;        // between polls while nothing runs
constexpr auto kNews = 50ms;        // between polls of the roll call
constexpr auto kAfterNews = 300ms;  // that a running operation has to end after bad news
constexpr auto kWatch = 200ms;      // between a caller's checks of the progress thread
constexpr auto kStuck = 5s;         // how far a call may exceed its timeout
constexpr auto kPatience = 1s;      // for rank 0's answer
constexpr int kTimerSlack = 1000;   // ns; the usual 50 µs would double every pause

Seconds since(Clock::time_point then) { return Clock::now() - then; }

}  // namespace

// ---- the thread --------------------------------------------------------------------------------

void ProgressThread::run(const MakeTransport& make_transport) noexcept {
  ::prctl(PR_SET_TIMERSLACK, kTimerSlack);
  try {
    transport_ = make_transport();
  } catch (...) {
    const Lock lock(mutex_);
    no_transport_ = std::current_exception();
  }
  Lock lock(mutex_);
  if (transport_) {
    identity_ = {transport_->rank(), transport_->size(), transport_->local_rank(),
                 transport_->local_size(), transport_->description()};
    changed_.notify_all();
    serve(lock);
    part(lock);
  }
  ended_ = true;
  changed_.notify_all();
}

void ProgressThread::serve(Lock& lock) {
  while (!abort_) {
    const bool resting = queued_.empty() && running_.empty();
    if (stop_ && (resting || !in_peace_ || failing_)) return;
    if (failing_) {
      wake_.wait(lock);
    } else if (resting) {
      if (wake_.wait_for(lock, kIdle) == std::cv_status::timeout) {
        call(lock, [&] { transport_->idle(); });
      }
    } else if (start_next(lock) && poll_running(lock)) {
      check_running(lock);
      if (!failing_) pause(lock);
    }
  }
}

/// Starts one operation if there is room; a transport may run it to its end. Returns false if it
/// failed.
bool ProgressThread::start_next(Lock& lock) {
  if (queued_.empty() || running_.size() >= kAtOnce) return true;
  const std::shared_ptr<Operation> operation = queued_.front();
  queued_.pop_front();
  running_.push_back(operation);
  operation->started = Clock::now();
  position_ = {position_.collectives + 1, operation->step, operation->name};
  if (roll_call_) roll_call_->set_position(position_);
  in_call_ = operation.get();
  looks_ = 0;
  return call(lock, [&] {
    operation->running = transport_->start(operation->request, operation->timeout);
  });
}

/// Polls the running operations. Returns false if one failed.
bool ProgressThread::poll_running(Lock& lock) {
  ++looks_;
  const bool polled = call(lock, [&] {
    for (const std::shared_ptr<Operation>& operation : running_) {
      in_call_ = operation.get();
      operation->polled_to_end = operation->running->poll();
      if (operation->polled_to_end || operation->running->moved()) looks_ = 0;
    }
  });
  if (!polled) return false;
  const auto ended = std::stable_partition(running_.begin(), running_.end(),
                                           [](const auto& one) { return !one->polled_to_end; });
  std::for_each(ended, running_.end(), [&](const auto& operation) { finish(*operation); });
  if (ended != running_.end()) changed_.notify_all();
  running_.erase(ended, running_.end());
  return true;
}

void ProgressThread::finish(Operation& operation) {
  operation.running.reset();
  operation.done = true;
  --unfinished_;
  if (operation.background && --in_background_ == 0) {
    stats_.busy_seconds += since(background_since_).count();
  }
}

/// Fails if a running operation is late or another rank has failed.
void ProgressThread::check_running(Lock& lock) {
  if (running_.empty()) return;
  const Operation& oldest = *running_.front();
  if (since(oldest.started) > oldest.timeout) return fail(lock, &oldest, "");
  if (since(news_read_) < kNews) return;
  news_read_ = Clock::now();
  fail_on_old_news(lock, &oldest);
}

/// Pauses between two polls of the running operations. There is no pause after a poll that made
/// progress. While a caller waits the core is free, so the thread only yields for a while.
/// Otherwise it sleeps, longer and longer. A new operation or a waiting caller ends a sleep.
void ProgressThread::pause(Lock& lock) {
  if (running_.empty() || looks_ == 0) return;
  if (waiting_ == 0) {
    const int doublings = std::min(looks_ - 1, 5);
    wake_.wait_for(lock, std::min(kShortestPause * (1 << doublings), kLongestPause));
  } else if (looks_ > kYields) {
    wake_.wait_for(lock, kPauseBlocked);
  } else {
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
  }
}

void ProgressThread::part(Lock& lock) {
  const bool in_peace = in_peace_ && !failing_;
  const std::optional<ExitCode> code = abort_;
  const std::shared_ptr<RollCall> roll_call = roll_call_;
  lock.unlock();
  if (code) transport_->abort(*code);
  for (const std::shared_ptr<Operation>& operation : running_) operation->running.reset();
  if (in_peace) {
    transport_->shut_down();
    if (roll_call) roll_call->shut_down();
  }
  transport_.reset();
  lock.lock();
}

/// Runs `body`, which calls the transport, without the lock. Returns false if it threw; then all
/// operations have failed.
bool ProgressThread::call(Lock& lock, const std::function<void()>& body) {
  call_began_ = Clock::now();
  lock.unlock();
  std::string error;
  try {
    body();
  } catch (const std::exception& caught) {
    error = caught.what();
    if (error.empty()) error = "unknown error";
  }
  lock.lock();
  call_began_.reset();
  const Operation* operation = std::exchange(in_call_, nullptr);
  if (!error.empty()) fail(lock, operation, fmt::format("broke off ({})", error));
  return error.empty() && !failing_;
}

// ---- failures ----------------------------------------------------------------------------------

void ProgressThread::fail_on_bad_news(Lock& lock) {
  PeerReport report;
  if (roll_call_ && roll_call_->bad_news(&report)) fail(lock, nullptr, "cannot finish");
}

/// Fails if another rank has failed, and `operation` has not ended in the time since. That rank may
/// have failed at what all ranks learned from this operation, as when they do not agree on their
/// config: a moment later this rank has learned it too, and fails with the same error.
void ProgressThread::fail_on_old_news(Lock& lock, const Operation* operation) {
  PeerReport report;
  if (!roll_call_ || !roll_call_->bad_news(&report)) return;
  if (!bad_news_came_) bad_news_came_ = Clock::now();
  if (since(*bad_news_came_) >= kAfterNews) fail(lock, operation, "cannot finish");
}

/// Fails all operations because of `operation`, which was late if `what_happened` is empty or its
/// time is used up. Asks about the other ranks, without the lock.
void ProgressThread::fail(Lock& lock, const Operation* operation,
                          const std::string& what_happened) {
  if (std::exchange(failing_, true)) return;
  const std::shared_ptr<RollCall> roll_call = roll_call_;
  std::string message = fmt::format("rank {} of {}", identity_->rank, identity_->size);
  if (operation) {
    const bool late = what_happened.empty() || since(operation->started) >= operation->timeout;
    if (operation->step >= 0) message += fmt::format(", step {}", operation->step);
    message += fmt::format(": {} ", operation->name);
    message += late ? fmt::format("did not finish within {:g} s (distributed.timeout_seconds)",
                                  operation->timeout.count())
                    : what_happened;
  } else {
    message += ": a collective " + what_happened;
  }
  const int64_t collectives = position_.collectives;
  lock.unlock();
  if (roll_call) {
    const std::string peers =
        describe_peers(roll_call->ask(kPatience), identity_->rank, collectives);
    message += ": " + (peers.empty() ? "every rank has come to it and none has failed" : peers);
  } else {
    message += ": which rank is missing is not known, as the ranks have no roll call";
  }
  lock.lock();
  failure_ = message;
  changed_.notify_all();
  wake_.notify_all();
  if (!roll_call) return;
  lock.unlock();
  roll_call->announce(ExitCode::peer, message);
  lock.lock();
}

void ProgressThread::throw_failure() const { throw PeerError("{}", *failure_); }

/// Called by a waiting caller: the thread itself cannot check while a call does not return.
void ProgressThread::look_after_thread(Lock& lock) {
  if (!call_began_ || since(*call_began_) < kWatch) return;
  const Operation* operation = in_call_;
  fail_on_old_news(lock, operation);
  if (failing_) return;
  const Seconds timeout = operation ? operation->timeout : Seconds{};
  if (since(*call_began_) > timeout + kStuck) {
    fail(lock, operation, "is stuck in " + identity_->description);
  }
}

// ---- the others --------------------------------------------------------------------------------

std::optional<Identity> ProgressThread::wait_for_transport(Seconds timeout) {
  Lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return identity_ || no_transport_; });
  if (no_transport_) std::rethrow_exception(no_transport_);
  return identity_;
}

void ProgressThread::set_roll_call(std::shared_ptr<RollCall> roll_call) {
  const Lock lock(mutex_);
  roll_call_ = std::move(roll_call);
}

void ProgressThread::enqueue(const std::shared_ptr<Operation>& operation) {
  const Lock lock(mutex_);
  if (failure_) throw_failure();
  ++stats_.collectives;
  stats_.bytes += static_cast<int64_t>(operation->request.buffer.bytes());
  ++unfinished_;
  if (operation->background && in_background_++ == 0) background_since_ = Clock::now();
  queued_.push_back(operation);
  wake_.notify_all();
}

void ProgressThread::check_peers() {
  Lock lock(mutex_);
  if (!failing_) fail_on_bad_news(lock);
  if (failure_) throw_failure();
}

bool ProgressThread::done(const Operation& operation) {
  const Lock lock(mutex_);
  if (!operation.done && failure_) throw_failure();
  return operation.done;
}

void ProgressThread::wait(const Operation& operation) {
  Lock lock(mutex_);
  if (operation.done) return;
  const Clock::time_point began = Clock::now();
  if (waiting_++ == 0) wake_.notify_all();
  while (!operation.done && !failure_) {
    if (changed_.wait_for(lock, kWatch) == std::cv_status::timeout) look_after_thread(lock);
  }
  --waiting_;
  stats_.waited_seconds += since(began).count();
  if (!operation.done) throw_failure();
}

CommunicatorStats ProgressThread::stats() const {
  const Lock lock(mutex_);
  CommunicatorStats stats = stats_;
  if (in_background_ > 0) stats.busy_seconds += since(background_since_).count();
  return stats;
}

bool ProgressThread::at_rest() const {
  const Lock lock(mutex_);
  return unfinished_ == 0 && !failing_;
}

bool ProgressThread::failed() const {
  const Lock lock(mutex_);
  return failing_;
}

void ProgressThread::stop(bool in_peace) {
  const Lock lock(mutex_);
  stop_ = true;
  in_peace_ = in_peace;
  wake_.notify_all();
}

void ProgressThread::abort(ExitCode code) {
  const Lock lock(mutex_);
  abort_ = code;
  wake_.notify_all();
}

bool ProgressThread::wait_for_end(Seconds limit) {
  Lock lock(mutex_);
  changed_.wait_for(lock, limit, [&] { return ended_; });
  return ended_;
}

}  // namespace ssa::dist
