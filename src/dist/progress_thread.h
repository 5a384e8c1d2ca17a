#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dist/roll_call.h"
#include "dist/transport.h"

namespace ssa::dist {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// A collective that a caller has queued.
struct Operation {
  Request request;
  std::string name;  ///< for messages: "all_reduce of gradient bucket 3"
  int64_t step = -1;
  Seconds timeout{};
  bool background = false;  ///< the caller does not wait for it

  // Only the progress thread uses the members below, except `done`.
  Clock::time_point started{};
  std::unique_ptr<Transport::Running> running;
  bool polled_to_end = false;
  bool done = false;
};

/// Which rank a transport is, and how it describes itself.
struct Identity {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;
  std::string description;
};

/// The progress thread, and the state that it shares with callers of collectives: a queue, and the
/// first failure, after which every call throws. The thread makes the transport, makes all calls to
/// it, and destroys it. It sleeps while there is nothing to do, and between polls of the running
/// collectives: on CPUs it would take time from the thread that computes.
///
/// The communicator and the thread share this object. The thread may outlive the communicator, if
/// it is inside a library call that does not return.
class ProgressThread {
 public:
  using MakeTransport = std::function<std::unique_ptr<Transport>()>;

  /// Body of the progress thread.
  void run(const MakeTransport& make_transport) noexcept;

  // ---- for the other threads ------------------------------------------------------------------

  /// Waits for the transport. Throws what making it threw; nothing if it takes longer than
  /// `timeout`.
  std::optional<Identity> wait_for_transport(Seconds timeout);
  void set_roll_call(std::shared_ptr<RollCall> roll_call);

  /// Throws PeerError if there was a failure before.
  void enqueue(const std::shared_ptr<Operation>& operation);
  /// Throw PeerError if there was a failure before it was done.
  bool done(const Operation& operation);
  void wait(const Operation& operation);

  /// Throws PeerError if there was a failure, or if the roll call has bad news.
  void check_peers();

  CommunicatorStats stats() const;
  /// Whether nothing is queued or running, and nothing has failed.
  bool at_rest() const;
  bool failed() const;

  /// Ends the thread. `in_peace`: after the queued operations and together with the other ranks;
  /// otherwise at once.
  void stop(bool in_peace);
  /// Ends the thread and the process by the transport's abort().
  void abort(ExitCode code);
  /// False if the thread still runs after `limit`.
  bool wait_for_end(Seconds limit);

 private:
  using Lock = std::unique_lock<std::mutex>;

  void serve(Lock& lock);
  bool start_next(Lock& lock);
  bool poll_running(Lock& lock);
  void finish(Operation& operation);
  void check_running(Lock& lock);
  void pause(Lock& lock);
  void part(Lock& lock);
  bool call(Lock& lock, const std::function<void()>& body);
  void look_after_thread(Lock& lock);
  void fail_on_bad_news(Lock& lock);
  void fail_on_old_news(Lock& lock, const Operation* operation);
  void fail(Lock& lock, const Operation* operation, const std::string& what_happened);
  void throw_failure() const;

  mutable std::mutex mutex_;
  std::condition_variable wake_;     // wakes the progress thread
  std::condition_variable changed_;  // wakes waiting callers

  // The mutex guards all below, except what only the progress thread uses.
  std::optional<Identity> identity_;
  std::exception_ptr no_transport_;
  std::shared_ptr<RollCall> roll_call_;
  std::deque<std::shared_ptr<Operation>> queued_;
  bool failing_ = false;                // the cause is being determined, or is known, …
  std::optional<std::string> failure_;  // … and every later call throws it
  bool stop_ = false, in_peace_ = false, ended_ = false;
  std::optional<ExitCode> abort_;
  std::optional<Clock::time_point> call_began_;  // the thread is inside the transport since then
  const Operation* in_call_ = nullptr;
  Position position_;                           // of the operation started last
  int64_t unfinished_ = 0, in_background_ = 0;  // operations, and how many of them in background
  std::optional<Clock::time_point> bad_news_came_;
  int waiting_ = 0;  // callers
  CommunicatorStats stats_;
  Clock::time_point background_since_{};

  // Used by the progress thread only.
  std::unique_ptr<Transport> transport_;
  std::vector<std::shared_ptr<Operation>> running_;
  int looks_ = 0;  // polls since a running operation last made progress
  Clock::time_point news_read_{};
};

}  // namespace ssa::dist
