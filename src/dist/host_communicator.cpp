#include "dist/host_communicator.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "dist/signals_blocked.h"

namespace ssa::dist {

namespace {

using namespace std::chrono_literals;

constexpr auto kAsk = 200ms;           // wait for one answer of the roll call
constexpr auto kRankZero = 2s;         // wait for rank 0 to announce the same failure
constexpr auto kOthersReport = 1s;     // time for the other ranks' own error messages
constexpr auto kCulpritReports = 4s;   // time for the rank that failed first to end the job
constexpr auto kAbort = 3s;            // limit for ending the job
constexpr auto kOrderly = 2s;          // limit for leaving together, if all failed alike
constexpr auto kAfterFailure = 500ms;  // limit for the progress thread to end
constexpr size_t kShortString = 248;   // bytes; gathered in one round, longer ones in two

std::string name_of(Request::Kind kind) {
  switch (kind) {
    case Request::Kind::all_reduce:
      return "all_reduce";
    case Request::Kind::reduce_scatter:
      return "reduce_scatter";
    case Request::Kind::all_gather:
      return "all_gather";
  }
  return "collective";
}

}  // namespace

class HostCommunicator::Pending final : public PendingCollective::State {
 public:
  Pending(std::shared_ptr<ProgressThread> progress, std::shared_ptr<Operation> operation)
      : progress_(std::move(progress)), operation_(std::move(operation)) {}
  bool done() override { return progress_->done(*operation_); }
  void wait() override { progress_->wait(*operation_); }

 private:
  std::shared_ptr<ProgressThread> progress_;
  std::shared_ptr<Operation> operation_;
};

HostCommunicator::HostCommunicator(ProgressThread::MakeTransport make_transport, Seconds timeout,
                                   const std::string& who)
    : progress_(std::make_shared<ProgressThread>()),
      timeout_(timeout),
      exceptions_(std::uncaught_exceptions()) {
  {
    const SignalsBlocked guard;
    thread_ = std::thread(
        [progress = progress_, make = std::move(make_transport)] { progress->run(make); });
  }
  std::optional<Identity> identity;
  try {
    identity = progress_->wait_for_transport(timeout);
  } catch (...) {
    thread_.join();
    throw;
  }
  if (!identity) {
    thread_.detach();
    throw PeerError(
        "{}: not all ranks have come together within {:g} s (distributed.timeout_seconds). Does "
        "each machine start its ranks?",
        who, timeout.count());
  }
  identity_ = *identity;
}

HostCommunicator::~HostCommunicator() {
  const bool in_peace =
      !announced_ && !progress_->failed() && std::uncaught_exceptions() <= exceptions_;
  const Seconds limit = in_peace ? timeout_ : Seconds(kAfterFailure);
  const Clock::time_point began = Clock::now();
  progress_->stop(in_peace);
  bool ended = false, others_well = true;
  while (!ended && others_well && Clock::now() - began < limit) {
    ended = progress_->wait_for_end(kAsk);
    PeerReport report;
    others_well = !in_peace || !roll_call_ || !roll_call_->bad_news(&report);
  }
  ended ? thread_.join() : thread_.detach();
}

void HostCommunicator::set_roll_call(std::shared_ptr<RollCall> roll_call) {
  roll_call_ = std::move(roll_call);
  progress_->set_roll_call(roll_call_);
}

std::string HostCommunicator::description() const {
  const int machines = (identity_.size + identity_.local_size - 1) / identity_.local_size;
  return fmt::format("{} rank{} on {} machine{} over {}", identity_.size,
                     identity_.size == 1 ? "" : "s", machines, machines == 1 ? "" : "s",
                     identity_.description);
}

// ---- collectives -------------------------------------------------------------------------------

std::shared_ptr<Operation> HostCommunicator::enqueue(const Request& request, std::string name,
                                                     bool background) {
  auto operation = std::make_shared<Operation>();
  operation->request = request;
  operation->name = std::move(name);
  operation->step = step_;
  operation->timeout = timeout_;
  operation->background = background;
  progress_->enqueue(operation);
  return operation;
}

PendingCollective HostCommunicator::start(Request::Kind kind, const CollectiveBuffer& buffer,
                                          const std::string& what) {
  const std::string name = name_of(kind) + " of " + what;
  const DType dtype = buffer.dtype;
  SSA_CHECK(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f64,
            "{}: f32, bf16 and f64 can be sent, not {}", name, ssa::name(dtype));
  SSA_CHECK(buffer.count >= 0, "{}: {} values", name, buffer.count);
  SSA_CHECK(kind == Request::Kind::all_reduce || buffer.count % size() == 0,
            "{}: {} values cannot be divided among {} ranks", name, buffer.count, size());
  return PendingCollective(
      std::make_shared<Pending>(progress_, enqueue({kind, buffer}, name, true)));
}

PendingCollective HostCommunicator::all_reduce(const CollectiveBuffer& buffer, std::string what) {
  return start(Request::Kind::all_reduce, buffer, what);
}

PendingCollective HostCommunicator::reduce_scatter(const CollectiveBuffer& buffer,
                                                   std::string what) {
  return start(Request::Kind::reduce_scatter, buffer, what);
}

PendingCollective HostCommunicator::all_gather(const CollectiveBuffer& buffer, std::string what) {
  return start(Request::Kind::all_gather, buffer, what);
}

/// Gathers a block of every rank: `own`, padded with zeros to `bytes`, a multiple of four.
std::vector<std::string> HostCommunicator::gather_blocks(const std::string& own, size_t bytes,
                                                         const std::string& what) {
  const size_t words = bytes / sizeof(float), ranks = static_cast<size_t>(size());
  std::vector<float> blocks(words * ranks);  // carried as they are: any bit pattern will do
  char* const begin = reinterpret_cast<char*>(blocks.data());
  std::memcpy(begin + static_cast<size_t>(rank()) * bytes, own.data(), own.size());
  const CollectiveBuffer buffer{blocks.data(), static_cast<int64_t>(blocks.size()), DType::f32};
  progress_->wait(
      *enqueue({Request::Kind::all_gather, buffer}, "gather of " + what, /*background=*/false));
  std::vector<std::string> all;
  for (size_t other = 0; other < ranks; ++other) all.emplace_back(begin + other * bytes, bytes);
  return all;
}

std::vector<std::string> HostCommunicator::gather(const std::string& own, const std::string& what) {
  const uint64_t own_length = own.size();
  std::string head(reinterpret_cast<const char*>(&own_length), sizeof own_length);
  head += own.substr(0, kShortString);
  std::vector<std::string> all = gather_blocks(head, sizeof own_length + kShortString, what);
  std::vector<size_t> lengths;
  for (std::string& block : all) {
    uint64_t length = 0;
    std::memcpy(&length, block.data(), sizeof length);
    lengths.push_back(length);
    block.erase(0, sizeof length);
  }
  const size_t longest = *std::max_element(lengths.begin(), lengths.end());
  if (longest > kShortString) all = gather_blocks(own, (longest + 3) / 4 * 4, what);
  for (size_t other = 0; other < all.size(); ++other) all[other].resize(lengths[other]);
  return all;
}

// ---- failures ----------------------------------------------------------------------------------

bool HostCommunicator::announce_failure(ExitCode code, const std::string& message) noexcept {
  announced_ = true;
  if (!roll_call_) return false;
  roll_call_->announce(code, message);
  const Clock::time_point began = Clock::now();
  while (rank() != 0 && Clock::now() - began < kRankZero) {
    const PeerReport rank_0 = roll_call_->ask(kAsk).front();
    if (rank_0.failed) return rank_0.failure == message;
    if (rank_0.gone || rank_0.left) break;
    std::this_thread::sleep_for(kAsk / 10);
  }
  return false;
}

/// Whether all ranks failed with this code. Then no rank is inside a collective, and all can exit
/// without killing each other.
bool HostCommunicator::all_failed_alike(ExitCode code) {
  if (!roll_call_ || code == ExitCode::peer || !progress_->at_rest()) return false;
  const Clock::time_point began = Clock::now();
  while (Clock::now() - began < kOthersReport) {
    const std::vector<PeerReport> reports = roll_call_->ask(kAsk);
    if (std::all_of(reports.begin(), reports.end(),
                    [&](const PeerReport& report) { return report.failed == code; })) {
      return true;
    }
    std::this_thread::sleep_for(kAsk / 10);
  }
  return false;
}

/// Time for the other ranks' own messages. The rank that failed first should end the job, so that
/// the launcher returns its exit code.
Seconds HostCommunicator::grace(ExitCode code) {
  if (code != ExitCode::peer || !roll_call_) return kOthersReport;
  for (const PeerReport& report : roll_call_->ask(kAsk)) {
    if (report.failed && *report.failed != ExitCode::peer && !report.gone) return kCulpritReports;
  }
  return kOthersReport;
}

void HostCommunicator::end_job(ExitCode code) noexcept {
  announced_ = true;
  if (all_failed_alike(code)) {
    progress_->stop(/*in_peace=*/true);
    progress_->wait_for_end(kOrderly);
    return;
  }
  std::this_thread::sleep_for(grace(code));
  progress_->abort(code);
  std::this_thread::sleep_for(kAbort);  // the progress thread ends the process, unless it is stuck
}

}  // namespace ssa::dist
