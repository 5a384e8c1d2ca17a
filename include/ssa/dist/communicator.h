#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssa/core/dtype.h"
#include "ssa/core/error.h"

namespace ssa {

/// Another rank failed, died, or did not join a collective in time. Exit code 6.
class PeerError : public Error {
 public:
  template <class... Args>
  explicit PeerError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::peer, fmt::format(format, std::forward<Args>(args)...)) {}
};

/// The buffer of a collective: `count` contiguous scalars of `dtype` (f32, bf16, f64) in memory
/// that the communicator can reach (host memory; device memory for NCCL). It must stay alive and
/// untouched until the collective is finished.
struct CollectiveBuffer {
  void* data = nullptr;
  int64_t count = 0;
  DType dtype = DType::f32;

  size_t bytes() const { return static_cast<size_t>(count) * size_of(dtype); }
};

/// A collective that is running. Copies refer to the same one.
class PendingCollective {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual bool done() = 0;
    virtual void wait() = 0;
  };

  PendingCollective() = default;  ///< finished
  explicit PendingCollective(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// True if wait() will not block. It may throw.
  bool done() const { return !state_ || state_->done(); }
  /// Waits until the result may be used (on a device: by work queued from now on). Throws
  /// PeerError.
  void wait() const {
    if (state_) state_->wait();
  }

 private:
  std::shared_ptr<State> state_;
};

/// The cost of this rank's collectives so far.
struct CommunicatorStats {
  int64_t collectives = 0;
  int64_t bytes = 0;          ///< in buffers; the network carries more
  double busy_seconds = 0;    ///< during which at least one asynchronous collective was running
  double waited_seconds = 0;  ///< that the caller spent in wait() and in blocking calls
};

/// The processes (ranks 0 … size-1) that train one model together. All ranks call the same
/// collectives in the same order, from one thread each. Every call throws PeerError if the
/// collective does not finish within the timeout, and as soon as it is known that a rank has failed
/// or is gone; the message names that rank, this rank, the step and the collective. After a
/// PeerError every collective throws: the job ends, and starts again from its last checkpoint.
///
/// `what` names the collective in messages: "gradient bucket 3".
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// The number of this rank among the ranks on its machine, and how many they are.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  /// For the log: "4 ranks on 1 machine over MPI (Open MPI 4.1.4)".
  virtual std::string description() const = 0;

  // ---- on tensors' memory, asynchronous ---------------------------------------------------------

  /// In place: every rank gets the sum over the ranks, the same bits on each.
  virtual PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) = 0;
  /// In place, on `size` parts of equal length: part `rank` becomes the sum over the ranks; the
  /// other parts are left undefined. Throws ShapeError if size does not divide the count.
  virtual PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) = 0;
  /// In place, on `size` parts of equal length: every rank gets part r from rank r.
  virtual PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) = 0;

  // ---- on small data of the host, blocking ------------------------------------------------------

  /// Returns every rank's string (any bytes, any length), in rank order.
  virtual std::vector<std::string> gather(const std::string& own, const std::string& what) = 0;

  /// Returns every rank's values, in rank order. All ranks give the same number of values: `count`.
  /// Those of rank r are r·count … (r+1)·count-1.
  std::vector<double> gather(std::span<const double> own, const std::string& what);
  /// Returns rank 0's string.
  std::string broadcast(const std::string& from_rank_0, const std::string& what);
  /// Returns whether `own` is true on any rank.
  bool any(bool own, const std::string& what);
  /// Waits for all ranks.
  void barrier(const std::string& what) { gather(std::string(), what); }

  // ---- failures ---------------------------------------------------------------------------------

  /// Sets the training step that messages about later collectives name; -1: outside of steps.
  virtual void set_step(int64_t step) = 0;
  /// Sets the time limit of later collectives. It is 600 s at first.
  virtual void set_timeout(std::chrono::duration<double> timeout) = 0;
  /// Throws PeerError if a rank is known to have failed or died. Does not wait. Any thread may call
  /// it.
  virtual void check_peers() {}
  /// Announces that this rank ends because of an error of its own. The other ranks' collectives
  /// then throw at once, with this message. Waits up to two seconds for rank 0, and returns whether
  /// it has announced the same message, which then need not be printed again. Never throws.
  virtual bool announce_failure(ExitCode code, const std::string& message) noexcept = 0;
  /// Call it after an error was printed. First gives the other ranks a few seconds to report. Then
  /// exits with `code` without running destructors, and ends the other ranks if the launcher can:
  /// mpirun and srun also end stopped ranks, and return the code.
  [[noreturn]] void abort(ExitCode code) noexcept;

  virtual CommunicatorStats stats() const = 0;

 protected:
  /// Called by abort() before it exits. It may exit itself.
  virtual void end_job(ExitCode code) noexcept = 0;
};

/// A communicator of one rank, whose collectives do nothing.
std::unique_ptr<Communicator> make_single_process();

}  // namespace ssa
