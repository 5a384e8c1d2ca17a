#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include <cuda_runtime.h>
#include <nccl.h>

#include "ssa/dist/nccl.h"

#include "dist/signals_blocked.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// How long a failed rank looks for the rank that caused the failure.
constexpr std::chrono::seconds kLookForCulprit{5};

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ExitCode::usage,
              fmt::format("CUDA: {} failed: {}", what, cudaGetErrorString(status)));
}

ncclDataType_t to_nccl(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f64:
      return ncclFloat64;
    default:
      throw ShapeError("NCCL: f32, bf16 and f64 are reduced, not {}", name(dtype));
  }
}

/// A CUDA event: a moment in a stream, with its time.
class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void hold_up(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "ordering streams");
  }
  bool reached() const { return cudaEventQuery(event_) != cudaErrorNotReady; }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, earlier.event_, event_);
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A collective on the GPU. Its time limit counts from when the GPU reaches it.
struct Flight {
  Event filled, started, finished;  // filled: in the compute stream
  Event before_wait, after_wait;    // in the compute stream, if it was made to wait
  std::atomic<bool> waited{false};
  std::string what;
  int64_t step = -1;
  std::optional<Clock::time_point> deadline;  // the watcher's
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, cudaStream_t compute) : host_(host), compute_(compute) {
    check(cudaGetDevice(&gpu_), "asking which GPU is used");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    join();
    const dist::SignalsBlocked guard;
    watcher_ = std::thread([this] { watch(); });
  }

  ~NcclCommunicator() override {
    const bool in_peace = std::uncaught_exceptions() <= exceptions_before_;
    {
      std::unique_lock lock(mutex_);
      while (in_peace && failure_.empty() && !flights_.empty()) changed_.wait(lock);
      stop_ = true;
    }
    changed_.notify_all();
    watcher_.join();
    // While an exception unwinds, nothing is done here: destroying or aborting the NCCL
    // communicator may wait for the other ranks, which have to be told first.
    if (!in_peace || aborted_) return;
    part();
    cudaStreamDestroy(stream_);
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  int local_rank() const override { return host_.local_rank(); }
  int local_size() const override { return host_.local_size(); }
  std::string description() const override {
    int version = 0;
    ncclGetVersion(&version);
    return fmt::format("{}, gradients over NCCL {}.{}.{}", host_.description(), version / 10000,
                       version / 100 % 100, version % 100);
  }

  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) override {
    return start("all_reduce of " + std::move(what), buffer, [&] {
      return ncclAllReduce(buffer.data, buffer.data, count(buffer), to_nccl(buffer.dtype), ncclSum,
                           nccl_, stream_);
    });
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) override {
    std::byte* own = own_part(buffer, what);
    return start("reduce_scatter of " + std::move(what), buffer, [&] {
      return ncclReduceScatter(buffer.data, own, count(buffer) / ranks(), to_nccl(buffer.dtype),
                               ncclSum, nccl_, stream_);
    });
  }
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) override {
    const std::byte* own = own_part(buffer, what);
    return start("all_gather of " + std::move(what), buffer, [&] {
      return ncclAllGather(own, buffer.data, count(buffer) / ranks(), to_nccl(buffer.dtype), nccl_,
                           stream_);
    });
  }

  std::vector<std::string> gather(const std::string& own, const std::string& what) override {
    throw_failure();
    return host_.gather(own, what);
  }
  using Communicator::gather;

  void check_peers() override {
    host_.check_peers();
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) throw PeerError("{}", failure_);
  }
  void set_step(int64_t step) override {
    step_ = step;
    host_.set_step(step);
  }
  void set_timeout(std::chrono::duration<double> timeout) override {
    timeout_ = timeout.count();
    host_.set_timeout(timeout);
  }
  bool announce_failure(ExitCode code, const std::string& message) noexcept override {
    return host_.announce_failure(code, message);
  }

  void end_job(ExitCode code) noexcept override { host_.abort(code); }

  CommunicatorStats stats() const override {
    const std::lock_guard lock(mutex_);
    land_finished();
    CommunicatorStats all = host_.stats();
    all.collectives += stats_.collectives;
    all.bytes += stats_.bytes;
    all.busy_seconds += stats_.busy_seconds;
    all.waited_seconds += stats_.waited_seconds;
    return all;
  }

 private:
  struct Pending final : PendingCollective::State {
    Pending(NcclCommunicator& communicator, std::shared_ptr<Flight> its_flight)
        : owner(communicator), flight(std::move(its_flight)) {}
    bool done() override { return flight->finished.reached(); }
    void wait() override {
      owner.throw_failure();
      if (flight->waited) return;
      flight->before_wait.record(owner.compute_);
      flight->finished.hold_up(owner.compute_);
      flight->after_wait.record(owner.compute_);
      flight->waited = true;
    }
    NcclCommunicator& owner;
    std::shared_ptr<Flight> flight;
  };

  /// Leaves together with all other ranks.
  void part() noexcept {
    try {
      require(ncclCommFinalize(nccl_), "parting");
      settle("parting");
      ncclCommDestroy(nccl_);
    } catch (const Error&) {
      ncclCommAbort(nccl_);
    }
  }

  static size_t count(const CollectiveBuffer& buffer) { return static_cast<size_t>(buffer.count); }
  size_t ranks() const { return static_cast<size_t>(size()); }

  /// The beginning of this rank's part of a buffer.
  std::byte* own_part(const CollectiveBuffer& buffer, const std::string& what) const {
    SSA_CHECK(buffer.count % size() == 0, "{}: {} values do not divide over {} ranks", what,
              buffer.count, size());
    return static_cast<std::byte*>(buffer.data) +
           buffer.bytes() / ranks() * static_cast<size_t>(rank());
  }

  void join() {
    ncclUniqueId id = {};
    if (rank() == 0) require(ncclGetUniqueId(&id), "making an id");
    const std::string text =
        host_.broadcast(std::string(id.internal, sizeof id.internal), "the id for NCCL");
    std::memcpy(id.internal, text.data(), sizeof id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // calls return at once, so that each can be given a time limit
    const ncclResult_t result = ncclCommInitRankConfig(&nccl_, size(), id, rank(), &config);
    if (result == ncclInvalidUsage || result == ncclInvalidArgument) {
      throw ConfigError(
          "NCCL: joining the ranks failed: {}. Each rank needs a GPU of its own: start as many "
          "ranks per machine as it has GPUs",
          ncclGetErrorString(result));
    }
    require(result, "joining the ranks");
    settle("joining the ranks");
  }

  void require(ncclResult_t result, const char* what) const {
    if (result == ncclSuccess || result == ncclInProgress) return;
    throw PeerError("rank {} of {}: NCCL: {} failed: {} ({})", rank(), size(), what,
                    ncclGetErrorString(result), ncclGetLastError(nccl_));
  }

  /// Waits until NCCL has accepted the last call, or the watching thread wants to abort.
  void settle(const char* what) {
    const double limit = timeout_;
    const auto began = Clock::now();
    ncclResult_t state = ncclInProgress;
    while (!failing_) {
      require(ncclCommGetAsyncError(nccl_, &state), what);
      require(state, what);
      if (state != ncclInProgress) return;
      if (Clock::now() - began > Seconds(limit)) {
        throw PeerError("rank {} of {}: NCCL: {} took more than {:g} s", rank(), size(), what,
                        limit);
      }
      host_.check_peers();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  template <class Call>
  PendingCollective start(std::string what, const CollectiveBuffer& buffer, Call&& call) {
    throw_failure();
    auto flight = std::make_shared<Flight>();
    flight->what = std::move(what);
    flight->step = step_;
    flight->filled.record(compute_);
    flight->filled.hold_up(stream_);
    flight->started.record(stream_);
    {
      const std::lock_guard lock(nccl_mutex_);
      if (!aborted_) {
        require(call(), flight->what.c_str());
        settle(flight->what.c_str());
      }
    }
    throw_failure();
    flight->finished.record(stream_);
    {
      const std::lock_guard lock(mutex_);
      ++stats_.collectives;
      stats_.bytes += static_cast<int64_t>(buffer.bytes());
      flights_.push_back(flight);
    }
    changed_.notify_all();
    return PendingCollective(std::make_shared<Pending>(*this, flight));
  }

  // ---- the watching thread ----------------------------------------------------------------------

  void watch() {
    cudaSetDevice(gpu_);
    std::unique_lock lock(mutex_);
    while (!stop_ && failure_.empty()) {
      if (flights_.empty()) {
        changed_.wait(lock);
        continue;
      }
      land_finished();
      if (flights_.empty()) changed_.notify_all();
      look_for_problems();
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
  }

  /// Removes finished collectives from the list, and counts the time that the stream waited for
  /// them.
  void land_finished() const {
    while (!flights_.empty() && flights_.front()->finished.reached()) {
      const auto flight = flights_.front();
      if (flight->waited && !flight->after_wait.reached()) return;
      flights_.pop_front();
      stats_.busy_seconds += flight->finished.seconds_since(flight->started);
      if (flight->waited) {
        stats_.waited_seconds += flight->after_wait.seconds_since(flight->before_wait);
      }
    }
  }

  void look_for_problems() {
    for (const auto& flight : flights_) {
      if (flight->finished.reached()) continue;
      const std::string place =
          fmt::format("rank {} of {}: {} at step {}", rank(), size(), flight->what, flight->step);
      if (const auto problem = asynchronous_error()) {
        return fail(fmt::format("{} failed: NCCL says: {}", place, *problem));
      }
      try {
        host_.check_peers();
      } catch (const PeerError& error) {
        return fail(error.what());
      }
      if (is_overdue(*flight)) {
        timed_out_ = true;
        fail(
            fmt::format("{} did not finish within {:g} s (distributed.timeout_seconds). The job "
                        "can be resumed with --resume auto",
                        place, timeout_.load()));
      }
      return;  // those behind it have not begun
    }
  }

  std::optional<std::string> asynchronous_error() {
    const std::unique_lock calls(nccl_mutex_, std::try_to_lock);
    if (!calls.owns_lock()) return std::nullopt;
    ncclResult_t state = ncclSuccess;
    ncclCommGetAsyncError(nccl_, &state);
    if (state == ncclSuccess || state == ncclInProgress) return std::nullopt;
    return ncclGetErrorString(state);
  }

  bool is_overdue(Flight& flight) const {
    if (!flight.started.reached()) return false;  // the GPU still computes its input
    if (!flight.deadline) {
      flight.deadline =
          Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(timeout_));
    }
    return Clock::now() > *flight.deadline;
  }

  /// Aborts the collectives on the GPU, so that waiting callers return and find the failure.
  void fail(const std::string& problem) {
    failure_ = problem;
    failing_ = true;  // the holder of nccl_mutex_ then releases it
    changed_.notify_all();
    const std::lock_guard calls(nccl_mutex_);
    aborted_ = true;
    ncclCommAbort(nccl_);
  }

  /// Throws the failure. If the host's communicator knows which rank is missing, that says more
  /// than that a collective hung or was aborted.
  void throw_failure() {
    if (!failing_) return;
    const auto began = Clock::now();
    host_.check_peers();
    if (timed_out_) {  // likely on all ranks
      host_.set_timeout(kLookForCulprit);
      host_.barrier("who is still there");
    }
    while (Clock::now() - began < kLookForCulprit) {
      host_.check_peers();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    const std::lock_guard lock(mutex_);
    throw PeerError("{}", failure_);
  }

  Communicator& host_;
  const cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  int gpu_ = 0;
  const int exceptions_before_ = std::uncaught_exceptions();
  ncclComm_t nccl_ = nullptr;
  std::atomic<int64_t> step_{-1};
  std::atomic<double> timeout_{600};  // seconds
  std::atomic<bool> failing_{false}, timed_out_{false};

  std::mutex nccl_mutex_;  // NCCL takes one call at a time
  bool aborted_ = false;   // guarded by it
  // Taken before nccl_mutex_ where both are.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  mutable std::deque<std::shared_ptr<Flight>> flights_;  // guarded by mutex_, as are those below
  mutable CommunicatorStats stats_;
  std::string failure_;
  bool stop_ = false;
  std::thread watcher_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl(Communicator& host, void* compute_stream) {
  return std::make_unique<NcclCommunicator>(host, static_cast<cudaStream_t>(compute_stream));
}

}  // namespace ssa
