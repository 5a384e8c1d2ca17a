#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ssa/dist/communicator.h"

#include "dist/progress_thread.h"

namespace ssa::dist {

/// A communicator for ranks that are processes with tensors in host memory. It hands collectives to
/// a progress thread, which runs them over a Transport while the caller computes.
class HostCommunicator final : public Communicator {
 public:
  /// The progress thread calls `make_transport`; its exceptions are thrown here, and PeerError if
  /// it takes longer than `timeout`. `who` names this rank in that message: "rank 2 of 4".
  HostCommunicator(ProgressThread::MakeTransport make_transport, Seconds timeout,
                   const std::string& who);
  /// Waits for the other ranks and leaves. After a failure, or while an exception unwinds, it waits
  /// for no rank, and the process should end.
  ~HostCommunicator() override;

  /// With a roll call, errors say which rank caused them.
  void set_roll_call(std::shared_ptr<RollCall> roll_call);

  int rank() const override { return identity_.rank; }
  int size() const override { return identity_.size; }
  int local_rank() const override { return identity_.local_rank; }
  int local_size() const override { return identity_.local_size; }
  std::string description() const override;

  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) override;
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) override;
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) override;
  std::vector<std::string> gather(const std::string& own, const std::string& what) override;
  using Communicator::gather;

  void check_peers() override { progress_->check_peers(); }
  void set_step(int64_t step) override { step_ = step; }
  void set_timeout(std::chrono::duration<double> timeout) override { timeout_ = timeout; }
  bool announce_failure(ExitCode code, const std::string& message) noexcept override;
  CommunicatorStats stats() const override { return progress_->stats(); }

 protected:
  void end_job(ExitCode code) noexcept override;

 private:
  class Pending;

  PendingCollective start(Request::Kind kind, const CollectiveBuffer& buffer,
                          const std::string& what);
  std::shared_ptr<Operation> enqueue(const Request& request, std::string name, bool background);
  std::vector<std::string> gather_blocks(const std::string& own, size_t bytes,
                                         const std::string& what);
  bool all_failed_alike(ExitCode code);
  Seconds grace(ExitCode code);

  std::shared_ptr<ProgressThread> progress_;
  std::shared_ptr<RollCall> roll_call_;
  std::thread thread_;
  Identity identity_;
  int64_t step_ = -1;
  Seconds timeout_;
  bool announced_ = false;
  int exceptions_;  // that were unwinding when this was made
};

}  // namespace ssa::dist
