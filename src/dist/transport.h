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

/// How collectives get done: by MPI, by Gloo. Made, used and destroyed by one thread, the progress
/// thread of a HostCommunicator; requests are started in the same order on all ranks.
class Transport {
 public:
  /// A request that has begun.
  class Running {
   public:
    virtual ~Running() = default;
    /// Moves it on; true if it is finished. Does not block. Throws std::exception if a peer is
    /// gone.
    virtual bool poll() = 0;
    /// Whether the last poll() got somewhere, so that another soon after may get further.
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
  /// Called before the destructor when the ranks part in peace. Without, the destructor must not
  /// wait for anyone.
  virtual void shut_down() = 0;
  /// The job has failed: ends the other ranks as far as this transport can, and this process.
  [[noreturn]] virtual void abort(ExitCode code) = 0;
};

}  // namespace ssa::dist
