#pragma once

#include <memory>
#include <string>

#include "ssa/dist/communicator.h"

namespace ssa::dist {

struct Request {
  enum class Kind { all_reduce, reduce_scatter, all_gather };
  Kind kind = Kind::all_reduce;
  CollectiveBuffer buffer;
};

/// Runs collectives over MPI or Gloo. One thread makes, uses and destroys it: the progress thread
/// of a HostCommunicator. Requests are started in the same order on all ranks.
class Transport {
 public:
  /// A request that has begun.
  class Running {
   public:
    virtual ~Running() = default;
    /// Makes progress without blocking. Returns true if the request is finished. Throws
    /// std::exception if a peer is gone.
    virtual bool poll() = 0;
    /// Whether the last poll() made progress, so that another one soon may make more.
    virtual bool moved() const { return false; }
  };

  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  /// "MPI (Open MPI 4.1.4)"
  virtual std::string description() const = 0;
  /// May run the request to its end before it returns, if that takes at most `timeout`.
  virtual std::unique_ptr<Running> start(const Request& request,
                                         std::chrono::duration<double> timeout) = 0;
  /// Called now and then while no request is under way, for libraries that send the last bytes of a
  /// finished request only in some later call.
  virtual void idle() {}
  /// Called before the destructor if all ranks leave without a failure. If it was not called, the
  /// destructor must not wait for other ranks.
  virtual void shut_down() = 0;
  /// The job has failed: ends the other ranks as far as this transport can, and this process.
  [[noreturn]] virtual void abort(ExitCode code) = 0;
};

}  // namespace ssa::dist
