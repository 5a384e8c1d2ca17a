#include "ssa/dist/communicator.h"

namespace ssa {

namespace {

/// With one rank, the sum over the ranks is the input.
class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::string description() const override { return "one process"; }

  PendingCollective all_reduce(const CollectiveBuffer&, std::string) override { return {}; }
  PendingCollective reduce_scatter(const CollectiveBuffer&, std::string) override { return {}; }
  PendingCollective all_gather(const CollectiveBuffer&, std::string) override { return {}; }
  std::vector<std::string> gather(const std::string& own, const std::string&) override {
    return {own};
  }
  using Communicator::gather;

  void set_step(int64_t) override {}
  void set_timeout(std::chrono::duration<double>) override {}
  bool announce_failure(ExitCode, const std::string&) noexcept override { return false; }
  CommunicatorStats stats() const override { return {}; }

 protected:
  void end_job(ExitCode) noexcept override {}
};

}  // namespace

std::unique_ptr<Communicator> make_single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace ssa
